# kind: time
# ends: timeout, memory, error
x = 9**9**9**9
