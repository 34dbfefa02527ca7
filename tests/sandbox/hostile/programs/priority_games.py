# kind: time
# ends: timeout
import os

for change in (
    lambda: os.nice(-20),
    lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99)),
    lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(99)),
):
    try:
        change()
        print("BREACH: priority raised")
    except OSError:
        pass
while True:
    pass
