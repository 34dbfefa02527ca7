# kind: output
# ends: output, ok
import fcntl
import os

for fd in (1, 2):
    try:
        fcntl.fcntl(fd, 1031, 1 << 20)
    except OSError:
        pass
os.write(1, b"x" * (1 << 20))
