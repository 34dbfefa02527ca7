# kind: memory
# ends: ok, error
import fcntl
import os

file = open("mine", "wb")
for place in range(0, 100_000, 2):
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 200_000 - place)
if os.fork() == 0:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.write(1, b"BREACH: the kernel keeps 50,000 locks, which no limit sees\n")
    os._exit(0)
os.wait()
