# kind: processes
# ends: timeout, signal, error, ok
import os

os.system("f() { f | f & }; f; sleep 60")
