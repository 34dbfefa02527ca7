# kind: time
# ends: timeout
import os

for _ in range(5):
    os.fork()
while True:
    pass
