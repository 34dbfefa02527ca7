# kind: input
# ends: ok
import os

while os.read(0, 65536):
    pass
