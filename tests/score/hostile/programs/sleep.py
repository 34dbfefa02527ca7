# kind: time
# ends: timeout
import time

time.sleep(600)
