# kind: output
# ends: timeout
# cpu: none
import os
import time

os.set_blocking(1, False)
os.write(1, b"x" * 1000)
os.dup2(1, 2)
time.sleep(600)
