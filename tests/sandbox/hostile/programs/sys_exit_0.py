# kind: ending
# ends: ok
import sys

sys.exit(0)
