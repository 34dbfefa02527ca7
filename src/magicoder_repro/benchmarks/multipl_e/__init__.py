"""MultiPL-E in six languages, compiled and run in the sandbox with the toolchains of this machine or of `docker/multipl-e`.

`benchmark.py` is what the rest of the package sees; `judge.py` judges one program; `languages.py` says how each language is compiled
and run, `toolchains.py` which tools are here, `headers.py` keeps C++'s compiled, `ending.py` tells a program that has finished its
tests; `guest/` runs inside the sandbox.
"""
