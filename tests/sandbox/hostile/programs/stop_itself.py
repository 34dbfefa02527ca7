# kind: processes
# ends: timeout
# cpu: none
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
print("BREACH: woke up")
