# kind: survival
# ends: ok
import threading

threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
