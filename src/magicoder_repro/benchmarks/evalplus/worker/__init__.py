"""The judge of Python functions, in the environment of one evalplus version.

`judge.py` answers requests; `follower.py` keeps the time and notices a wrong value early; `values.py` reads what the guest writes;
`ground_truth.py` has what the canonical solutions give; `rules.py` asks evalplus whether the values are right.
"""
