# kind: signals
# ends: ok
import json
import os

for pid in (1, json.load(open("targets.json"))["pid"]):
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        continue
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(32):
        if libc.syscall(438, fd, number, 0) >= 0:
            print("BREACH: took a descriptor of", pid)
