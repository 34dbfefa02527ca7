# kind: signals
# ends: ok, signal
import json
import os
import signal

scorer = json.load(open("targets.json"))["pid"]
for pid in (-1, 1, os.getppid(), scorer, -scorer):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):
        try:
            os.kill(pid, number)
        except OSError:
            pass
