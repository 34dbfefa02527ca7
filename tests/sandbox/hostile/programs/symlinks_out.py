# kind: disk
# ends: ok
import json
import os

targets = json.load(open("targets.json"))
for n, path in enumerate([*targets["secrets"], "/etc/shadow", "/proc/1/root/etc/shadow", "/proc/1/cwd/../etc/shadow"]):
    os.symlink(path, f"link{n}")
    try:
        print(open(f"link{n}").read())
        print("BREACH: read", path)
    except OSError:
        pass
for n, place in enumerate(targets["writable"]):
    os.symlink(place, f"place{n}")
    try:
        open(f"place{n}/hostile", "w").close()
        print("BREACH: wrote", place)
    except OSError:
        pass
