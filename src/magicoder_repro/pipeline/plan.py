"""A profile expanded into nodes: a stage with a subject, `score/magicoder/humaneval`. What the stages do is not known here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from magicoder_repro.analyze import ANALYZE
from magicoder_repro.analyze import data as analyze
from magicoder_repro.data import (
    CORPUS,
    DECONTAMINATE,
    DEDUPLICATE,
    EVOL_INSTRUCT,
    OSS_INSTRUCT,
    RELEASED,
    SEEDS,
    SELECT,
    corpus,
    decontaminate,
)
from magicoder_repro.data import estimate as of_data
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.generate import ANSWERS, GENERATE, PUBLISHED, answers, complete, engines, published
from magicoder_repro.pipeline import estimate, place
from magicoder_repro.pipeline.place import HERE, Place
from magicoder_repro.profile import (
    Evaluation,
    EvolInstruct,
    Judged,
    OssInstruct,
    Profile,
    PublishedAnswers,
    Released,
    Select,
    ServerEngine,
    ServerTeacher,
    SourceModel,
    TrainedModel,
    TransformersEngine,
)
from magicoder_repro.report import REPORT
from magicoder_repro.report import build as report
from magicoder_repro.score import SCORE
from magicoder_repro.score import stage as score
from magicoder_repro.stage import Stage
from magicoder_repro.takes import Takes
from magicoder_repro.train import BASE_MODEL, SFT

STAGES: tuple[Stage, ...] = (
    CORPUS,
    SEEDS,
    OSS_INSTRUCT,
    DEDUPLICATE,
    EVOL_INSTRUCT,
    RELEASED,
    DECONTAMINATE,
    SELECT,
    BASE_MODEL,
    SFT,
    GENERATE,
    ANSWERS,
    PUBLISHED,
    SCORE,
    ANALYZE,
    REPORT,
)
"""In the order of `make help`, of a run and of the report."""


@dataclass(frozen=True, eq=False)
class Node:
    """A stage with a subject. `inputs`: the node that each input of the stage comes from. `facts`: what of its place goes into the
    config (a file's hash, a tool's version). `missing`: what the node needs and is not there, each with the mend; the work goes on
    without it and the report says so. `takes`: what the work takes; None where nothing can be said before."""

    name: str
    stage: Stage
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    facts: Callable[[], Mapping[str, Any]] = dict
    missing: Callable[[], Sequence[str]] = tuple
    takes: Takes | None = None
    place: Place = HERE


def expand(profile: Profile) -> list[Node]:
    """The nodes of a profile, each after those that it needs."""
    nodes = [*_data(profile), *_models(profile), *_archives(profile), *_evaluations(profile), *_analysis(profile)]
    nodes.append(
        Node("report", REPORT, report.config(profile), {one.name: one.name for one in nodes}, report.facts(profile))
    )
    return _ordered(nodes)


def needed(nodes: Sequence[Node], targets: Sequence[str]) -> list[Node]:
    """The targets (a node, a stage, or the beginning of a node's name up to a `/`) and all that they need; all without a target."""
    by_name = {node.name: node for node in nodes}
    wanted: set[str] = set()

    def add(name: str) -> None:
        if name not in wanted:
            wanted.add(name)
            for source in by_name[name].inputs.values():
                add(source)

    for name in meant(nodes, targets):
        add(name)
    return [node for node in nodes if not targets or node.name in wanted]


def meant(nodes: Sequence[Node], targets: Sequence[str]) -> list[str]:
    """The names of the nodes that the targets mean, without what they need."""
    found: dict[str, None] = {}
    for target in targets:
        names = [one.name for one in nodes if target in (one.name, one.stage.name) or one.name.startswith(f"{target}/")]
        if not names:
            valid = list(dict.fromkeys([*(node.stage.name for node in nodes), *(node.name for node in nodes)]))
            raise UsageError(f"unknown stage {target!r}: {nearest(target, valid)}one of {', '.join(valid)}")
        found |= dict.fromkeys(names)
    return list(found)


def exactly(nodes: Sequence[Node], names: Sequence[str]) -> list[Node]:
    """The nodes of these names, without what they need."""
    by_name = {node.name: node for node in nodes}
    for name in names:
        if name not in by_name:
            raise UsageError(f"unknown node {name!r}: {nearest(name, list(by_name))}one of {', '.join(by_name)}")
    return [by_name[name] for name in names]


def _dump(*sections: tuple[str, BaseModel | None]) -> dict[str, Any]:
    return {name: section.model_dump(mode="json", by_alias=True) for name, section in sections if section is not None}


def _teacher(profile: Profile) -> dict[str, Any]:
    found = _dump(("teacher", profile.teacher))
    if found and os.environ.get("OPENAI_BASE_URL"):  # a server that runs somewhere else tomorrow is the same teacher
        found["teacher"]["server"] = {"kind": "server", "base_url": None}
    return found


def _no_key(profile: Profile) -> Callable[[], Sequence[str]]:
    def missing() -> Sequence[str]:
        server = profile.teacher and profile.teacher.server
        reached = not isinstance(server, ServerTeacher) or server.base_url or os.environ.get("OPENAI_BASE_URL")
        known = reached or os.environ.get("OPENAI_API_KEY")
        return () if known else ("the teacher: set OPENAI_API_KEY, or OPENAI_BASE_URL to a server of your own",)

    return missing


def finished(profile: Profile, name: str) -> str:
    """The node that holds a data set as models are trained on it."""
    return f"{'select' if isinstance(profile.data[name], Select) else 'decontaminate'}/{name}"


def _data(profile: Profile) -> Iterator[Node]:
    """Every set goes the same way: raw, repeated records removed where the teacher was asked about seeds, decontaminated."""
    if profile.corpus is not None:
        about, facts = _dump(("corpus", profile.corpus)), corpus.facts(profile.corpus)
        yield Node("corpus", CORPUS, about, facts=facts, place=place.of_corpus(profile.corpus))
    if profile.seeds is not None and profile.corpus is not None:
        yield Node("seeds", SEEDS, _dump(("seeds", profile.seeds)), {"corpus": "corpus"})
    asked = _teacher(profile)
    for name, one in profile.data.items():
        raw = f"{one.kind}/{name}"
        if isinstance(one, OssInstruct):
            assert profile.teacher and profile.seeds
            takes = of_data.of_oss_instruct(profile.teacher, sum(profile.seeds.per_language.values()))
            where = place.of_teacher(profile.teacher)
            yield Node(raw, OSS_INSTRUCT, asked, {"seeds": "seeds"}, missing=_no_key(profile), takes=takes, place=where)
            unique = {"seed": one.deduplicate_seed}
            yield Node(f"deduplicate/{name}", DEDUPLICATE, unique, {"records": raw})
            raw = f"deduplicate/{name}"
        elif isinstance(one, EvolInstruct):
            config = {**asked, "records": one.records, "max_tokens": one.max_tokens}
            inputs = {"records": finished(profile, one.source)}
            assert profile.teacher
            takes = of_data.of_evol_instruct(profile.teacher, one.records, one.max_tokens)
            where = place.of_teacher(profile.teacher)
            yield Node(raw, EVOL_INSTRUCT, config, inputs, missing=_no_key(profile), takes=takes, place=where)
        elif isinstance(one, Released):
            config = {"dataset": one.dataset, "revision": one.revision, "key": f"data.{name}.dataset"}
            takes = of_data.of_released(one.dataset)
            yield Node(raw, RELEASED, config, takes=takes, place=place.of_hub(one.dataset))
        else:
            config = {"keep": one.keep, "records": one.records, "without": one.without}
            yield Node(raw, SELECT, config, {"records": finished(profile, one.source)})
            continue
        facts, missing = decontaminate.facts, decontaminate.missing
        yield Node(f"decontaminate/{name}", DECONTAMINATE, {}, {"records": raw}, facts, missing)


def _models(profile: Profile) -> Iterator[Node]:
    for name, model in profile.models.items():
        if isinstance(model, SourceModel):
            config = {"source": model.source, "revision": model.revision, "dtype": model.dtype}
            yield Node(
                f"base-model/{name}",
                BASE_MODEL,
                {**config, "key": f"models.{name}.source"},
                {},
                _of_folder(model.source),
                takes=estimate.of_weights(model.source, model.dtype),
                place=place.of_hub(model.source),
            )
        elif isinstance(model, TrainedModel):
            recipe = profile.recipes[model.recipe].model_dump(mode="json", exclude_defaults=True)
            origin = _origin(profile, name)
            training = {
                "recipe": recipe,
                "label": f"sft {name}",
                "saved_dtype": origin.dtype,
                "training": profile.training.model_dump(mode="json"),
                "about": {
                    "name": name,
                    "base": origin.source,
                    "revision": origin.revision,
                    "trainings": _trainings(profile, name),
                },
            }
            inputs = {"model": weights(profile, model.source), "records": finished(profile, model.data)}
            how, size = profile.recipes[model.recipe], _size(profile, model.data)
            takes = estimate.of_training(origin.source, origin.dtype, how, profile.training, size)
            yield Node(f"sft/{name}", SFT, training, inputs, takes=takes, place=place.of_training())


def _size(profile: Profile, name: str) -> of_data.Size:
    """Of a data set, as far as it is known before it is made."""
    one = profile.data[name]
    if isinstance(one, Released):
        return of_data.size_released(one.dataset)
    if isinstance(one, OssInstruct) and profile.seeds:
        return of_data.size_oss_instruct(sum(profile.seeds.per_language.values()))
    return of_data.Size(None, None)


def _of_folder(source: str) -> Callable[[], Mapping[str, Any]]:
    """The sizes and times of a local model's files: they may be replaced."""

    def facts() -> dict[str, Any]:
        files = sorted(Path(source).rglob("*")) if Path(source).is_dir() else []
        return {
            "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files if path.is_file()}
        }

    return facts


def weights(profile: Profile, name: str) -> str:
    """The node that holds a model's folder."""
    return f"{'sft' if isinstance(profile.models[name], TrainedModel) else 'base-model'}/{name}"


def _origin(profile: Profile, name: str) -> SourceModel:
    """The weights that a model's trainings began with."""
    model = profile.models[name]
    while isinstance(model, TrainedModel):
        model = profile.models[model.source]
    assert isinstance(model, SourceModel)
    return model


def _trainings(profile: Profile, name: str) -> list[str]:
    """The data sets that a model was trained on, the first one first, in words."""
    found: list[str] = []
    model = profile.models[name]
    while isinstance(model, TrainedModel):
        data = profile.data[model.data]
        about = f", {data.dataset}" if isinstance(data, Released) else ""
        found.insert(0, f"{model.data} ({data.kind}{about})")
        model = profile.models[model.source]
    return found


def _archives(profile: Profile) -> Iterator[Node]:
    """Those that the answers of a model are in."""
    for name, archive in profile.archives.items():
        models = {
            model: list(one.match or ())
            for model, one in profile.models.items()
            if isinstance(one, PublishedAnswers) and one.archive == name
        }
        if models:
            config = {"archive": name, **archive.model_dump(mode="json"), "models": models}
            facts, missing = answers.facts(archive), answers.missing(name, archive)
            yield Node(f"answers/{name}", ANSWERS, config, {}, facts, missing)


def _evaluations(profile: Profile) -> Iterator[Node]:
    for name in profile.models:
        for benchmark, setting in profile.evaluate.items():
            if setting.models is not None and name not in setting.models:
                continue
            for number, protocol in enumerate(setting.protocols):
                suffix = f"-{protocol}" if number else ""
                answered = _answers(profile, name, benchmark, setting, protocol, suffix)
                if answered is None:
                    continue
                yield answered
                config = {
                    "benchmark": benchmark,
                    "protocol": protocol,
                    "scoring": score.settings(profile.scoring, benchmark, protocol),
                    "label": f"score {name} {benchmark}{suffix}",
                }
                if suffix:
                    config["suffix"] = suffix
                facts, missing = score.facts(benchmark, protocol), score.missing(benchmark, protocol)
                takes = estimate.of_verdicts(benchmark, protocol, setting, profile.scoring, profile.training)
                node = f"score/{name}/{benchmark}{suffix}"
                where, inputs = place.of_judge(benchmark, protocol), {"samples": answered.name}
                yield Node(node, SCORE, config, inputs, facts, missing, takes, where)


def _answers(
    profile: Profile, name: str, benchmark: str, setting: Evaluation, protocol: str, suffix: str
) -> Node | None:
    """The node of a model's answers to a benchmark; None where none were published. `suffix`: of the names of all protocols but the
    first."""
    model = profile.models[name]
    about: dict[str, Any] = {"benchmark": benchmark, "protocol": protocol}
    facts, missing = complete.facts(benchmark, protocol), complete.missing(benchmark, protocol)
    if isinstance(model, PublishedAnswers):
        if not model.answers(benchmark):
            return None
        node = f"published/{name}/{benchmark}{suffix}"
        if model.archive is not None:
            about |= {"model": name, "archive": model.archive, "answers": profile.archives[model.archive].answers}
            return Node(node, PUBLISHED, about, {"answers": f"answers/{model.archive}"}, facts, missing)
        assert model.samples is not None
        path, key = model.samples[benchmark], f"models.{name}.samples.{benchmark}"
        about |= {"key": key, "samples": path}
        if suffix:
            about["skip_unknown"] = True  # the first protocol's set may have tasks that this one's has not
        return Node(node, PUBLISHED, about, {}, published.facts(path, facts), published.missing(key, path, missing))
    assert not isinstance(setting, Judged) and profile.generation
    decoding, engine = setting.model_dump(mode="json", exclude={"models", "protocol"}), profile.generation.engine
    if isinstance(engine, ServerEngine):
        engine = engine.model_copy(update={"model": engine.model or name})
    if not isinstance(engine, TransformersEngine):
        decoding["batch"] = 1  # a server is asked for one completion a request
    about |= {"style": model.style, "dtype": profile.generation.dtype, "engine": engine.model_dump(mode="json")}
    about["decoding"] = decoding
    return Node(
        f"generate/{name}/{benchmark}",
        GENERATE,
        {**about, "label": f"generate {name} {benchmark}"},
        {"model": weights(profile, name)},
        facts,
        lambda: (*missing(), *engines.missing(engine)),
        estimate.of_completions(
            _origin(profile, name).source, benchmark, protocol, setting, profile.generation, profile.training
        ),
        place=place.of_engine(engine),
    )


def _analysis(profile: Profile) -> Iterator[Node]:
    if profile.analysis is None or not profile.data:
        return
    inputs = {name: finished(profile, name) for name in profile.data}
    if profile.analysis.tokenizer in profile.models:
        inputs["tokenizer"] = weights(profile, profile.analysis.tokenizer)
    config = {
        **_dump(("analysis", profile.analysis)),
        "names": {name: one.paper or name for name, one in profile.data.items()},
    }
    yield Node("analyze", ANALYZE, config, inputs, analyze.facts, place=place.of_analysis(profile, profile.analysis))


def _ordered(nodes: Sequence[Node]) -> list[Node]:
    """Each node after those that it needs; among those that could come next, in the order of the stages."""
    left = {node.name: node for node in sorted(nodes, key=lambda node: STAGES.index(node.stage))}
    done: list[Node] = []
    while left:
        ready = next(node for node in left.values() if not set(node.inputs.values()) & set(left))
        done.append(left.pop(ready.name))
    return done
