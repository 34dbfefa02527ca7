# kind: memory
# ends: memory, error, timeout
import os
import socket
import time

for _ in range(4):
    os.fork()
kept = []
try:
    while True:
        for end in socket.socketpair():
            end.setblocking(False)
            kept.append(end)
            try:
                while True:
                    end.send(b"x" * 4096)
            except BlockingIOError:
                pass
except OSError:
    time.sleep(600)
