# kind: kernel
# ends: ok
import os
import subprocess

before = os.getuid()
for path in ("/usr/bin/su", "/usr/bin/sudo", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/newgrp", "/usr/bin/pkexec"):
    if os.path.exists(path):
        try:
            done = subprocess.run([path, "-c", "id -u"], capture_output=True, stdin=subprocess.DEVNULL, timeout=0.5)
            if done.stdout.strip() == b"0":
                print("BREACH: root by", path)
        except (OSError, subprocess.TimeoutExpired):
            pass
os.system("cp /bin/sh s; chmod 4777 s; ./s -p -c 'id -u' > who")
if int(open("who").read() or before) != before:
    print("BREACH: another uid by a setuid copy")
for uid in (0, 1000):
    for change in (os.setuid, os.seteuid, os.setgid):
        try:
            change(uid)
            print("BREACH: became", uid)
        except OSError:
            pass
