# kind: time
# ends: timeout
# limits: wall_seconds=1
import re

re.match(r"(a+)+$", "a" * 64 + "b")
