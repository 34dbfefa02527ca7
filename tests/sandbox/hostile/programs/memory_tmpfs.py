# kind: memory
# ends: error
for n in range(1000):
    with open(f"/tmp/{n}", "wb") as file:
        file.write(b"x" * (1 << 22))
print("BREACH: 4 GB written")
