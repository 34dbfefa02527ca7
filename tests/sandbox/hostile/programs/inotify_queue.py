# kind: memory
# ends: ok, error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
instances = [fd for fd in (libc.inotify_init1(0) for _ in range(4)) if fd >= 0]
if instances:
    print("BREACH: queues of events that no limit sees:", len(instances))
