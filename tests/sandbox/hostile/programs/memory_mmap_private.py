# kind: memory
# ends: memory, error
import mmap

kept = []
while True:
    kept.append(mmap.mmap(-1, 1 << 24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    kept[-1].write(b"x" * (1 << 24))
