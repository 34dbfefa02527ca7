# kind: time
# ends: timeout
# cpu: none
import threading

lock = threading.Lock()
lock.acquire()
lock.acquire()
