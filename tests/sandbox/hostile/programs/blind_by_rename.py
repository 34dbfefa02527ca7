# kind: memory
# ends: memory, timeout
import mmap
import os
import time

os.rename("/box/.tmp", "/box/.gone")  # through which somebody might look at what is used
time.sleep(0.2)
kept = []
for _ in range(50):  # 800 MB, the limit is 256
    kept.append(mmap.mmap(-1, 1 << 24))
    kept[-1].write(b"x" * (1 << 24))
time.sleep(0.3)
print("BREACH: 800 MB of shared memory", flush=True)
