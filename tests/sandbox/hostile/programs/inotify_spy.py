# kind: secrets
# ends: ok, error
import ctypes
import fcntl
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
queue = libc.inotify_init()
for place in (b"/usr/bin", b"/usr/lib", b"/usr/bin/env"):
    if libc.inotify_add_watch(queue, place, 0x21) >= 0:
        print("BREACH: told which programs the host starts", place)
signal.signal(signal.SIGIO, signal.SIG_IGN)
try:
    fcntl.fcntl(os.open("/usr/bin", os.O_RDONLY), 1026, 1)  # F_NOTIFY
    print("BREACH: told what is read in /usr/bin")
except OSError:
    pass
