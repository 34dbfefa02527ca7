# kind: memory
# ends: memory, timeout
import ctypes
import os
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for _ in range(4):
    os.fork()
start = libc.mmap(None, 65000 * 4096 * 2, 1, 0x4022, -1, 0)
for number in range(32000):  # each splits a mapping: 16 times 64,000, whose list is long to read
    if libc.mprotect(start + number * 8192, 4096, 0) < 0:
        break
time.sleep(0.7)
print("BREACH: mappings by the million", flush=True)
