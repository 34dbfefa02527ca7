# kind: processes
# ends: timeout, signal
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
