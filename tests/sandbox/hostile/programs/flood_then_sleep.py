# kind: output
# ends: output
import os
import time

os.write(1, b"x" * 300_000)
time.sleep(600)
