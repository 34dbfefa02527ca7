# kind: network
# ends: ok
import socket
import urllib.request

for address in ("1.1.1.1", "8.8.8.8", "169.254.169.254", "10.0.0.1"):
    try:
        socket.create_connection((address, 80), timeout=0.2)
        print("BREACH: reached", address)
    except OSError:
        pass
try:
    urllib.request.urlopen("http://example.com", timeout=0.3)
    print("BREACH: the web")
except OSError:
    pass
