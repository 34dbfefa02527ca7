"""DS-1000, judged by the tests that each problem carries.

`benchmark.py` is what the rest of the package sees; `judge.py` judges one program; `environment.py` knows the libraries' environment;
`guest/` runs inside the sandbox.
"""
