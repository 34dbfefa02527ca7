# kind: survival
# ends: timeout
import atexit


@atexit.register
def again():
    while True:
        pass
