# kind: kernel
# ends: ok
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(248, b"user", b"hostile", b"x", 1, -4) >= 0:
    print("BREACH: stored a key")
if libc.syscall(250, 0, -4, 1) >= 0:
    print("BREACH: has a keyring")
