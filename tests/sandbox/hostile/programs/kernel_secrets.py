# kind: kernel
# ends: ok
import ctypes
import os

for path in ("/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/sys/kernel/debug", "/sys/fs/cgroup/cgroup.procs", "/proc/kpagecount"):
    try:
        os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 10)
        print("BREACH: read", path)
    except OSError:
        pass
libc = ctypes.CDLL(None)
if libc.klogctl(3, ctypes.create_string_buffer(1000), 1000) >= 0:
    print("BREACH: the kernel's log")
if any(int(line.split()[0], 16) for line in open("/proc/kallsyms").read().splitlines()[:50]):
    print("BREACH: the kernel's addresses")
