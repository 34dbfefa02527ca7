# kind: processes
# ends: timeout
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
print("BREACH: woke up")
