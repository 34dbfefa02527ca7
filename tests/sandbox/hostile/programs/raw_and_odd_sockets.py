# kind: network
# ends: ok
import socket

for family in range(2, 46):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind).close()
            print("BREACH: a socket of family", family)
        except OSError:
            pass
