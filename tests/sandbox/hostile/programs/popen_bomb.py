# kind: processes
# ends: timeout, error, signal
import subprocess
import sys

while True:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
