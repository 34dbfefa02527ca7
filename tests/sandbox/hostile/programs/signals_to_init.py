# kind: signals
# ends: ok
import os
import signal

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for pid in (1, 0):
    for number in set(range(1, 65)) - {9, 19, 32, 33} if pid == 0 else range(1, 65):
        try:
            os.kill(pid, number)
        except OSError:
            pass
