# kind: ending
# ends: output, error, signal, memory, ok
eval("(" * 100_000 + ")" * 100_000)
