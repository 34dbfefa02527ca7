# kind: disk
# ends: ok
import glob
import json
import os
import sys

for path in [sys.executable, os.__file__, json.__file__, "/bin/sh", "/usr/bin/env", "/etc/passwd", "/etc/ld.so.cache", *glob.glob("/usr/lib/*.so*")]:
    for attempt in (
        lambda: open(path, "r+b").close(),
        lambda: os.unlink(path),
        lambda: os.rename(path, path + "x"),
        lambda: os.chmod(path, 0o777),
        lambda: os.utime(path),
    ):
        try:
            attempt()
            print("BREACH: changed", path)
        except OSError:
            pass
