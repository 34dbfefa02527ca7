# kind: time
# ends: timeout
# limits: wall_seconds=1
while True:
    pass
