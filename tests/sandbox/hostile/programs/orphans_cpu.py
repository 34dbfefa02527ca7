# kind: time
# ends: timeout
# limits: cpu_seconds=0.5
import os
import time

made = 0
while True:
    try:
        child = os.fork()
        if child == 0:
            if os.fork() == 0:  # an orphan: pid 1 waits for it
                end = time.process_time() + 0.012
                while time.process_time() < end:
                    pass
            os._exit(0)
        os.waitpid(child, 0)
        made += 1
    except OSError:
        time.sleep(0.01)
    if made * 0.012 > 1.2:
        os.write(1, b"BREACH: CPU seconds that nobody counted\n")
    time.sleep(0.006)
