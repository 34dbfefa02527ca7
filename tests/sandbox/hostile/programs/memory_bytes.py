# kind: memory
# ends: memory, error
x = [bytearray(b"x" * (1 << 22)) for _ in range(10**5)]
