# kind: network
# ends: ok
import json
import socket

targets = json.load(open("targets.json"))
for address in ("\0" + targets["abstract"], targets["socket"], "/var/run/docker.sock", "/run/systemd/private", "/run/dbus/system_bus_socket"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as probe:
                probe.connect(address)
            print("BREACH: reached", address)
        except OSError:
            pass
