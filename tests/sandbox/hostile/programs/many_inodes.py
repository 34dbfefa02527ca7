# kind: disk
# ends: memory, error
import os

for n in range(10**7):
    os.close(os.open(f"/tmp/{n}", os.O_CREAT | os.O_WRONLY))
