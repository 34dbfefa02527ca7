"""The processes that judge Python functions, in the environment of one evalplus version (`worker.py` is started by `judges.py`).

`guest.py` runs in the sandbox and writes what the program returns, `values.py` reads that, `follower.py` keeps the time and notices a
wrong value early, `truth.py` has what the canonical solutions give, `rules.py` asks evalplus whether the values are right.
"""
