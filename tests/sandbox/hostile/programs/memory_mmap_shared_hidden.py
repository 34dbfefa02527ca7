# kind: memory
# ends: memory
import mmap

kept = []
while True:
    kept.append(mmap.mmap(-1, 1 << 24))
    kept[-1].write(b"x" * (1 << 24))
    kept[-1].madvise(mmap.MADV_DONTNEED)  # the pages stay, but belong to no process
