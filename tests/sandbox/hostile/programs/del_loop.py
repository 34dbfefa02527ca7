# kind: survival
# ends: timeout
class Sticky:
    def __del__(self):
        while True:
            pass


sticky = Sticky()
