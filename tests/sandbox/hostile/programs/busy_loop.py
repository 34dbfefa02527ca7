# kind: time
# ends: timeout
while True:
    pass
