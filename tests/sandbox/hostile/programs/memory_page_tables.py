# kind: memory
# ends: memory, error, timeout
import mmap

kept = []
while True:
    kept.append(mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ))
    for offset in range(0, 1 << 40, 1 << 21):
        kept[-1][offset]
