# kind: signals
# ends: ok, signal
import os

for pid in (1, os.getppid()):
    try:
        maps = open(f"/proc/{pid}/maps").read()
        start = int(maps.split("-")[0], 16)
        fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        os.pwrite(fd, b"x", start)
        print("BREACH: wrote into", pid)
    except OSError:
        pass
