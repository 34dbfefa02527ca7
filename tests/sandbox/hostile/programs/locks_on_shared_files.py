# kind: secrets
# ends: ok
import fcntl
import os

file = open("/usr/bin/env", "rb")  # the test itself holds a lock on it
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("BREACH: sees the locks of others")
except OSError:
    pass
try:
    fcntl.fcntl(file, 1024, fcntl.F_RDLCK)
    print("BREACH: a lease, for which the host's writers have to wait")
except OSError:
    pass
