# kind: time
# ends: timeout
# limits: cpu_seconds=0.8
import os
import time

os.rename("/box/.tmp", "/box/.gone")
for _ in range(2):
    os.fork()
while time.process_time() < 0.7:
    pass
print("BREACH: 0.7 seconds in each of four processes", flush=True)
