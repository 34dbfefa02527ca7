# kind: survival
# ends: timeout
# limits: wall_seconds=1
import atexit


@atexit.register
def again():
    while True:
        pass
