# kind: memory
# ends: ok
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for n in range(100):
    segment = libc.shmget(0, 1 << 27, 0o1600)
    if segment < 0:
        break
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, 1 << 27)
    libc.shmdt(ctypes.c_void_p(address))
    print("BREACH: a segment that no process maps")
