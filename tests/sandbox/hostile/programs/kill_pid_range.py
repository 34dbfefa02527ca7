# kind: signals
# ends: ok
import os
import signal

me = os.getpid()
for pid in range(2, 40_000):
    if pid != me:
        try:
            os.kill(pid, signal.SIGKILL)
            print("BREACH: killed", pid)
        except OSError:
            pass
