"""HumanEval(+) and MBPP(+), judged by the rules of the evalplus version that the protocol names.

`benchmark.py` is what the rest of the package sees; `worker/` judges, in evalplus' own environment; `guest.py` runs in the sandbox;
`purity.py` says which programs may be judged in pieces; `sanitize.py` cleans answers up as the paper's script did.
"""
