# kind: memory
# ends: ok
import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
ruleset = struct.pack("=Q", 1)
if libc.syscall(444, ruleset, len(ruleset), 0) >= 0:
    print("BREACH: rules without number")
libc.prctl(38, 1, 0, 0, 0)
allow = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
lines = ctypes.create_string_buffer(allow, 8)
header = struct.pack("@HxxxxxxQ", 1, ctypes.addressof(lines))
if libc.prctl(22, 2, header, 0, 0) >= 0 or libc.syscall(317 if os.uname().machine == "x86_64" else 277, 1, 0, header) >= 0:
    print("BREACH: filters without number")
