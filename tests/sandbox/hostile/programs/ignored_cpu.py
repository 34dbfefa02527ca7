# kind: time
# ends: timeout
# limits: cpu_seconds=0.5
import os
import signal
import time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is reaped at once leaves no CPU time to anybody
made = 0
while True:
    try:
        if os.fork() == 0:
            end = time.process_time() + 0.012
            while time.process_time() < end:
                pass
            os._exit(0)
        made += 1
    except OSError:
        time.sleep(0.01)
    if made * 0.012 > 1.2:
        os.write(1, b"BREACH: CPU seconds that nobody counted\n")
    time.sleep(0.006)
