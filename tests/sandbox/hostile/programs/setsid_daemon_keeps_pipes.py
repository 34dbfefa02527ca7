# kind: survival
# ends: ok
import os
import time

if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print("parent gone")
