# kind: kernel
# ends: ok, signal
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for name, number in {"bpf": 321, "perf": 298, "userfaultfd": 323, "io_uring": 425, "fanotify": 300, "reboot": 169, "kexec": 246, "module": 313, "swapon": 167, "settimeofday": 164, "acct": 163}.items():
    if libc.syscall(number, 0, ctypes.create_string_buffer(256), 0, 0, 0) >= 0:
        print("BREACH:", name)
