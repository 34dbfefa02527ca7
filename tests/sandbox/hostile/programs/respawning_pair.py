# kind: survival
# ends: timeout, ok
# cpu: none
import os
import time

while True:  # a parent that replaces its child, a child that replaces its parent
    pid = os.fork()
    if pid == 0:
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.01)
        continue
    os.waitpid(pid, 0)
