# kind: time
# ends: timeout
# cpu: none
import time

time.sleep(600)
