# kind: memory
# ends: error
import os

kept = []
for n in range(200):
    fd = os.memfd_create(str(n))
    for _ in range(50):
        os.write(fd, b"x" * (1 << 20))
    kept.append(fd)
print("BREACH: 10 GB in memory files")
