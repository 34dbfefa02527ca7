"""DS-1000, judged by the tests that each problem carries, as its original release does (`paper`) or its simplified one (`current`).

`benchmark.py` is what the rest of the package sees. `original.py` are the original release's data, `original_judge.py` judges one
answer by them; `judge.py` does so by the simplified release. `environment.py` knows the libraries' environments and `interpreters.py`
keeps interpreters of them warm; `guest/` runs inside the sandbox (`original.py` and `main.py` are where it begins).
"""
