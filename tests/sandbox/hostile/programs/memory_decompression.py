# kind: memory
# ends: memory, error
# limits: wall_seconds=4
import zlib

bomb = zlib.compress(b"0" * (1 << 26))
print(len(b"".join(zlib.decompress(bomb) for _ in range(1000))))
