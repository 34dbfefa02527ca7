# kind: memory
# ends: memory, error
print(len("%" "0" "9999999999" "d" % 1))
