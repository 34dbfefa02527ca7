# kind: survival
# ends: ok
import os

os.system("nohup setsid sleep 600 & nohup sh -c 'trap \"\" TERM HUP INT; sleep 600' & ")
