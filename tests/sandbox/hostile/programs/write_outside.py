# kind: disk
# ends: ok
import json
import os

places = [*json.load(open("targets.json"))["writable"], "/", "/usr", "/etc", "/dev", "/proc/sys/kernel", "/home", "/var/tmp"]
for place in places:
    try:
        with open(os.path.join(place, "hostile"), "w") as file:
            file.write("x")
        print("BREACH: wrote", place)
    except OSError:
        pass
