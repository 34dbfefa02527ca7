# kind: limits
# ends: ok
import os
import resource
import sys

for name in ("CPU", "DATA", "NPROC", "NOFILE", "FSIZE", "CORE", "MEMLOCK", "MSGQUEUE", "SIGPENDING"):
    number = getattr(resource, "RLIMIT_" + name, None)
    if number is None:
        continue
    soft, hard = resource.getrlimit(number)
    try:
        resource.setrlimit(number, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("BREACH: raised", name)
    except (OSError, ValueError):
        pass
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "-I", "main.py", "again"])
