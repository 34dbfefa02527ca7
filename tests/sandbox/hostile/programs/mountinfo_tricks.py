# kind: secrets
# ends: ok
import os
import subprocess

for line in open("/proc/self/mountinfo"):
    words = line.split()
    source, point = words[3], words[4]
    for up in (source, point + "/..", point + "/../..", "/proc/self/root/.." + source):
        try:
            if ".magicoder" in "".join(os.listdir(up)) or "pyproject.toml" in os.listdir(up):
                print("BREACH: listed", up)
        except OSError:
            pass
for command in (["findmnt"], ["mount"], ["mount", "--bind", "/", "/box"], ["umount", "-l", "/box"]):
    done = subprocess.run(command, capture_output=True)
    if command[1:] and done.returncode == 0:
        print("BREACH:", command)
