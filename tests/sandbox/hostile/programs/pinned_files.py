# kind: memory
# ends: ok, error
import os

reader, writer = os.pipe()
second = os.pipe()
library = os.open("/usr/bin/env", os.O_RDONLY)
try:
    os.splice(library, writer, 4096)
    print("BREACH: a page of the host's cache is pinned")
except OSError:
    os.write(writer, b"x")
import ctypes

if ctypes.CDLL(None).tee(reader, second[1], 1, 0) >= 0:
    print("BREACH: a page has two owners")
