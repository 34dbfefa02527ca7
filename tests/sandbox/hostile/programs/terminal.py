# kind: input
# ends: ok
import fcntl
import os
import termios

for path in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/ptmx"):
    try:
        os.open(path, os.O_RDWR)
        print("BREACH: a terminal", path)
    except OSError:
        pass
for fd in range(3):
    try:
        fcntl.ioctl(fd, termios.TIOCSTI, b"x")
        print("BREACH: typed")
    except OSError:
        pass
