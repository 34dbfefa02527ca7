# kind: ending
# ends: signal
import os
import resource

try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("BREACH: core dumps allowed")
except (OSError, ValueError):
    pass
os.abort()
