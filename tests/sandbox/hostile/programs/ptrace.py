# kind: signals
# ends: ok
import ctypes
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
for pid in (1, os.getppid(), json.load(open("targets.json"))["pid"]):
    for request in (16, 0x4206):
        if libc.ptrace(request, pid, None, None) == 0:
            print("BREACH: traced", pid)
if libc.ptrace(0, 0, None, None) == 0:
    print("BREACH: tracing works")
