"""The training data: corpus, seeds, teacher, OSS-Instruct, Evol-Instruct, cleaning, decontamination."""
