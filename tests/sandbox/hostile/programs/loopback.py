# kind: network
# ends: ok
import json
import socket

targets = json.load(open("targets.json"))
for family, address in ((socket.AF_INET, ("127.0.0.1", targets["port"])), (socket.AF_INET6, ("::1", targets["port"])), (socket.AF_INET, ("0.0.0.0", targets["port"]))):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(family, kind) as probe:
                probe.settimeout(0.3)
                probe.connect(address)
                probe.send(b"hostile")
            print("BREACH: reached", address)
        except OSError:
            pass
