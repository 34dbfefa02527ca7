# kind: time
# ends: timeout
import os
import sys
import time

end = time.process_time() + 0.2
while time.process_time() < end:
    pass
os.execv(sys.executable, [sys.executable, "-I", "main.py"])
