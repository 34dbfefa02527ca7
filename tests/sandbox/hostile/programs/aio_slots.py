# kind: kernel
# ends: ok
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
slots = ctypes.c_ulong(0)
if libc.syscall({"x86_64": 206, "aarch64": 0}[os.uname().machine], 4096, ctypes.byref(slots)) >= 0:
    print("BREACH: slots of the whole host are taken")
