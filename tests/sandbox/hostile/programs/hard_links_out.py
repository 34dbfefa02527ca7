# kind: disk
# ends: ok
import json
import os

for n, path in enumerate([*json.load(open("targets.json"))["secrets"], "/etc/passwd", "/usr/bin/env"]):
    try:
        os.link(path, f"link{n}")
        print("BREACH: linked", path)
    except OSError:
        pass
