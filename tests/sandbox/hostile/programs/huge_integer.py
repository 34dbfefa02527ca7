# kind: time
# ends: timeout, memory, error
x = 10 ** 10**8
print(len(str(x)))
