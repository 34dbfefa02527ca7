# kind: disk
# ends: ok, error
import os

fd = os.open("sparse", os.O_CREAT | os.O_RDWR)
try:
    os.truncate(fd, 1 << 40)
    print("BREACH: a file of a terabyte")
except OSError:
    pass
os.posix_fallocate(fd, 0, 1 << 24)
