# kind: kernel
# ends: ok
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
os.mkdir("m")
for words in (
    (b"none", b"/box/m", b"tmpfs", 0, None),
    (b"/", b"/box/m", None, 4096, None),
    (b"proc", b"/box/m", b"proc", 0, None),
    (b"none", b"/", None, 32, None),
    (b"none", b"/usr", None, 32 | 4096, None),
):
    if libc.mount(*words) == 0:
        print("BREACH: mounted", words)
for point in (b"/proc", b"/usr", b"/box", b"/"):
    if libc.umount2(point, 2) == 0:
        print("BREACH: unmounted", point)
if libc.syscall(155, b"m", b"m") == 0:
    print("BREACH: pivoted")
try:
    os.chroot("m")
    print("BREACH: chroot")
except OSError:
    pass
