# kind: time
# ends: timeout
import os

for change in (
    lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    lambda: os.setpriority(os.PRIO_USER, 0, 19),
    lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
):
    try:
        change()
        print("BREACH: pid 1, whose end is the end of all, has to wait", flush=True)
    except OSError:
        pass
for _ in range(5):
    os.fork()
while True:
    pass
