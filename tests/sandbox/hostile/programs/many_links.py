# kind: disk
# ends: error, memory, timeout
import os

open("one", "w").close()
for n in range(10**7):
    os.link("one", f"link{n}")
