# kind: kernel
# ends: signal, ok
import ctypes

libc = ctypes.CDLL(None)
if libc.syscall(0x40000000 + 39) > 0:
    print("BREACH: calls under another number")
