# kind: secrets
# ends: ok
import glob
import os

print(dict(os.environ))
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/task/*/environ"):
    try:
        print(open(path).read())
    except OSError:
        pass
for name in ("OPENAI_API_KEY", "HF_TOKEN", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY"):
    if name in os.environ:
        print("BREACH: has", name)
