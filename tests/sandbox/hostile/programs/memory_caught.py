# kind: memory
# ends: memory, timeout
kept = []
while True:
    try:
        kept.append(bytearray(b"x" * (1 << 20)))
    except MemoryError:
        pass
