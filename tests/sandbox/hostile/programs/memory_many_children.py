# kind: memory
# ends: memory, error
import os
import time

for _ in range(5):
    os.fork()
kept = [bytearray(b"x" * (1 << 20)) for _ in range(30)]
time.sleep(600)
