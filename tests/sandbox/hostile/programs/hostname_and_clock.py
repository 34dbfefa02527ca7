# kind: kernel
# ends: ok
import socket
import time

for attempt in (lambda: socket.sethostname("owned"), lambda: time.clock_settime(time.CLOCK_REALTIME, 0)):
    try:
        attempt()
        print("BREACH: changed the host")
    except OSError:
        pass
