# kind: kernel
# ends: ok, signal, error, timeout, memory, output
# cpu: none
import ctypes
import random

libc = ctypes.CDLL(None)
random.seed(1)
while True:
    libc.syscall(random.randrange(470), *(random.choice((0, 1, -1, 2**31, 2**63 - 1)) for _ in range(6)))
