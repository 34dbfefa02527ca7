# kind: disk
# ends: error
import os

kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(100_000)]
print("BREACH: 100 thousand files")
