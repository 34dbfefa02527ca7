# kind: processes
# ends: timeout, ok
import os

while True:  # each process has ended before it can be looked at
    if os.fork():
        os._exit(0)
