"""A run: a profile is a plan of nodes (`plan.py`), each made once in a store (`store.py`) by a process of its own (`run.py`)."""
