# kind: time
# ends: timeout
# limits: cpu_seconds=0.5
import ctypes
import os
import struct
import time

libc = ctypes.CDLL(None, use_errno=True)
action = struct.pack("@QQQQ", 0, 2 | 0x04000000, 0, 0)  # SA_NOCLDWAIT, with the kernel's own layout
libc.syscall({"x86_64": 13, "aarch64": 134}[os.uname().machine], 17, action, None, 8)
made = 0
while True:
    try:
        if os.fork() == 0:
            end = time.process_time() + 0.012
            while time.process_time() < end:
                pass
            os._exit(0)
        made += 1
    except OSError:
        time.sleep(0.01)
    if made * 0.012 > 1.2:
        os.write(1, b"BREACH: CPU seconds that nobody counted\n")
    time.sleep(0.006)
