# kind: memory
# ends: memory, error
import mmap
import os

fd = os.open("/dev/zero", os.O_RDWR)
kept = []
while True:
    kept.append(mmap.mmap(fd, 1 << 24, flags=mmap.MAP_SHARED))
    kept[-1].write(b"x" * (1 << 24))
