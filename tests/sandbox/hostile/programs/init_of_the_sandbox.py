# kind: signals
# ends: ok
import ctypes
import os
import resource

libc = ctypes.CDLL(None, use_errno=True)
for name in ("fd", "fdinfo", "map_files"):
    try:
        print("BREACH: pid 1's", name, os.listdir(f"/proc/1/{name}"))
    except OSError:
        pass
for name in ("mem", "root/usr", "cwd/", "exe", "environ", "maps", "auxv", "task/1/mem"):
    try:
        print("BREACH: opened pid 1's", name, os.open(f"/proc/1/{name}", os.O_RDONLY))
    except OSError:
        pass
try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))
    print("BREACH: changed pid 1's limits")
except OSError:
    pass
try:
    handle = os.pidfd_open(1)
    if taken := [number for number in range(64) if libc.syscall(438, handle, number, 0) >= 0]:
        print("BREACH: took pid 1's descriptors", taken)
except OSError:
    pass
if libc.ptrace(0x4206, 1, 0, 0) >= 0:
    print("BREACH: traces pid 1")
place = ctypes.create_string_buffer(64)
remote = (ctypes.c_ulong * 2)(ctypes.addressof(place), 8)
if libc.process_vm_readv(1, remote, 1, remote, 1, 0) >= 0:
    print("BREACH: read pid 1's memory")
