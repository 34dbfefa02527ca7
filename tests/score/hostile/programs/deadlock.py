# kind: time
# ends: timeout
import threading

lock = threading.Lock()
lock.acquire()
lock.acquire()
