# kind: input
# ends: ok
import mmap
import os

for attempt in (
    lambda: os.write(0, b"forged"),
    lambda: os.truncate(0, 1),
    lambda: os.write(os.open("/proc/self/fd/0", os.O_RDWR), b"forged"),
    lambda: mmap.mmap(0, 1, prot=mmap.PROT_WRITE),
):
    try:
        attempt()
        print("BREACH: changed the input")
    except (OSError, ValueError):
        pass
