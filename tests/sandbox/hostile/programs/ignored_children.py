# kind: processes
# ends: memory, timeout
import os
import signal

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # their CPU seconds go uncounted
while True:
    try:
        if os.fork() == 0:
            for _ in range(10**6):
                pass
            os._exit(0)
    except OSError:
        pass
