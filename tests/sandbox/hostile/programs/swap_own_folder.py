# kind: disk
# ends: ok
import os
import shutil

for name in os.listdir("."):  # the folder itself is a mount
    shutil.rmtree(name, ignore_errors=True)
for attempt in (lambda: os.rmdir("/box"), lambda: os.rename("/box", "/usr/box"), lambda: os.symlink("/usr", "/box")):
    try:
        attempt()
        print("BREACH: replaced the private folder")
    except OSError:
        pass
