# kind: disk
# ends: ok
import os
import stat

for major, minor in ((1, 1), (1, 2), (1, 11), (8, 0), (254, 0), (259, 0), (10, 200)):
    for kind in (stat.S_IFBLK, stat.S_IFCHR):
        try:
            os.mknod("node", kind | 0o666, os.makedev(major, minor))
            os.close(os.open("node", os.O_RDWR))
            print("BREACH: opened a device", major, minor)
        except OSError:
            pass
for name in ("mem", "kmsg", "kvm", "fuse", "sda", "vda", "nvme0n1", "loop0", "console", "ptmx", "net/tun", "vsock"):
    try:
        os.close(os.open(f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK))
        print("BREACH: opened /dev/", name)
    except OSError:
        pass
