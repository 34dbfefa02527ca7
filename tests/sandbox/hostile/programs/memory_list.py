# kind: memory
# ends: memory, error
x = [0] * 10**6
while True:
    x += x
