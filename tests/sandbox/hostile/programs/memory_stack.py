# kind: memory
# ends: memory, error, signal
import resource
import sys
import threading

try:
    resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except (OSError, ValueError):
    pass
import os

if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "-I", "main.py", "again"])
sys.setrecursionlimit(10**9)


class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")


sorted([1], key=lambda _: Deep().a)
