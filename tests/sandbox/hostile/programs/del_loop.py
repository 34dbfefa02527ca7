# kind: survival
# ends: timeout
# limits: wall_seconds=1
class Sticky:
    def __del__(self):
        while True:
            pass


sticky = Sticky()
