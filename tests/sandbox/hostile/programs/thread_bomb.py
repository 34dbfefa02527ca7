# kind: processes
# ends: timeout, error, signal
# cpu: none
import threading
import time

while True:
    threading.Thread(target=time.sleep, args=(600,)).start()
