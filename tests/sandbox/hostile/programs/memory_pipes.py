# kind: memory
# ends: timeout, error
import fcntl
import os
import time

for _ in range(4):
    os.fork()
try:
    while True:
        reader, writer = os.pipe()
        try:
            fcntl.fcntl(writer, 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 65536)
        except BlockingIOError:
            pass
except OSError:
    time.sleep(600)
