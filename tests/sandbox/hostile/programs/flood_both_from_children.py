# kind: output
# ends: output
import os

for _ in range(4):
    os.fork()
while True:
    os.write(1, b"x" * 65536)
    os.write(2, b"y" * 65536)
