# kind: memory
# ends: memory, error
x = {}
while True:
    x[len(x)] = str(len(x)) * 50
