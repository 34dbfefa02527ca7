# kind: output
# ends: ok
import os

os.write(1, bytes(range(256)) * 100)
os.write(2, b"\x1b[2J\x1b]0;owned\x07\x00\xff" * 100)
