# kind: limits
# ends: ok, error
import os

try:
    os.execv("/bin/true", ["true", *(["x" * 100_000] * 100)])
except OSError:
    pass
try:
    os.execve("/bin/true", ["true"], {f"V{n}": "x" * 100_000 for n in range(100)})
except OSError:
    pass
