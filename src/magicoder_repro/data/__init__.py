"""The training data: corpus, seeds, teacher, OSS-Instruct, Evol-Instruct, repeated records, decontamination."""

from magicoder_repro.stage import Stage

_OF_TEACHER = frozenset(
    {"teacher.concurrency", "teacher.give_up_after", "teacher.server.servers", "teacher.limits", "teacher.cost"}
)
CORPUS = Stage("corpus", "open-source documents of each language", "data.corpus:build")
SEEDS = Stage("seeds", "seed snippets from the corpus", "data.seeds:build")
OSS_INSTRUCT = Stage(
    "oss-instruct",
    "the teacher turns seeds into problems and solutions",
    "data.oss_instruct:build",
    schedule=_OF_TEACHER,
)
DEDUPLICATE = Stage("deduplicate", "repeated records removed", "data.deduplicate:build")
EVOL_INSTRUCT = Stage(
    "evol-instruct", "the teacher evolves a set's problems", "data.evol_instruct:build", schedule=_OF_TEACHER
)
RELEASED = Stage("released", "a released data set", "data.released:build", schedule=frozenset({"key"}))
DECONTAMINATE = Stage("decontaminate", "records with benchmark text removed", "data.decontaminate:build")
SELECT = Stage("select", "a part of a data set", "data.select:build")
