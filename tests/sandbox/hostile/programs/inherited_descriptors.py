# kind: secrets
# ends: ok
import os

for name in os.listdir("/proc/self/fd"):
    fd = int(name)
    try:
        where = os.readlink(f"/proc/self/fd/{fd}")
        os.listdir(fd)
        if not where.startswith("/proc"):
            print("BREACH: a folder is open:", where)
    except OSError:
        pass
for up in range(1, 40):
    try:
        fd = os.open("../" * up + "etc/shadow", os.O_RDONLY)
        print("BREACH: shadow")
    except OSError:
        pass
