# kind: processes
# ends: timeout, signal, error
import os
import time

while True:
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
