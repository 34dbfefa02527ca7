# kind: memory
# ends: timeout, memory, ok
import os

kept = []
while True:  # memory that wanders from process to process
    if os.fork():
        os._exit(0)
    kept.append(bytearray(b"x" * (4 << 20)))
