# kind: kernel
# ends: ok
import ctypes
import os
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00000080):
    if libc.unshare(flag) == 0:
        print("BREACH: unshared", hex(flag))
    if libc.unshare(flag | 0x10000000) == 0:
        print("BREACH: unshared with a user namespace", hex(flag))
for name in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
    try:
        if libc.setns(os.open(f"/proc/1/ns/{name}", os.O_RDONLY), 0) == 0:
            print("BREACH: entered", name)
    except OSError:
        pass
for command in (["unshare", "-Urm", "true"], ["unshare", "-Un", "true"], ["nsenter", "-t", "1", "-a", "true"]):
    if subprocess.run(command, capture_output=True).returncode == 0:
        print("BREACH:", command)
