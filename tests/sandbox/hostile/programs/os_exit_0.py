# kind: ending
# ends: ok
import os

os._exit(0)
