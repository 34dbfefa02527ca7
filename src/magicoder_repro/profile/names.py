"""Whether the parts of a profile go together: what the model of each part alone cannot tell."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.profile.data import EvolInstruct, OssInstruct, Select
from magicoder_repro.profile.evaluation import Judged, ServerEngine
from magicoder_repro.profile.models import PublishedAnswers, TrainedModel

if TYPE_CHECKING:
    from magicoder_repro.profile import Profile


def check_names(profile: Profile) -> None:
    """A UsageError for a name that stands for nothing, a circle, or a part that is needed and not there."""
    for name, data in profile.data.items():
        if name in ("tokenizer", "self-instruct"):
            raise UsageError(f"data.{name}: this name has a meaning of its own: give another")
        if isinstance(data, EvolInstruct | Select):
            _known(f"data.{name}.from", data.source, profile.data)
        if isinstance(data, OssInstruct):
            _needed(f"data.{name}", profile, "corpus", "seeds", "teacher")
        if isinstance(data, EvolInstruct):
            _needed(f"data.{name}", profile, "teacher")
        _no_circle("data", name, {key: getattr(one, "source", None) for key, one in profile.data.items()})
    for name, recipe in profile.recipes.items():
        if recipe.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
            raise UsageError(
                f"recipes.{name}.attention: flash_attention_2 needs the package flash-attn, which no lock of ours has: "
                "set sdpa, or install it into .envs/core"
            )
    for name, model in profile.models.items():
        if isinstance(model, TrainedModel):
            _known(f"models.{name}.from", model.source, profile.models)
            _known(f"models.{name}.data", model.data, profile.data)
            _known(f"models.{name}.recipe", model.recipe, profile.recipes)
            if isinstance(profile.models[model.source], PublishedAnswers):
                raise UsageError(f"models.{name}.from: {model.source!r} is published answers, no model to train")
        if isinstance(model, PublishedAnswers):
            for benchmark in model.samples or ():
                _known(f"models.{name}.samples", benchmark, profile.evaluate)
            if model.archive is not None:
                _known(f"models.{name}.archive", model.archive, profile.archives)
                if profile.archives[model.archive].answers is None:
                    raise UsageError(f"archives.{model.archive}.answers is missing: add authors or others")
        trained = {key: one.source for key, one in profile.models.items() if isinstance(one, TrainedModel)}
        _no_circle("models", name, trained)
    for name, setting in profile.evaluate.items():
        for model_name in setting.models or ():
            _known(f"evaluate.{name}.models", model_name, profile.models)
            model = profile.models[model_name]
            if isinstance(model, PublishedAnswers) and not model.answers(name):
                raise UsageError(
                    f"evaluate.{name}.models: {model_name!r} has no samples of it: name them, or leave it out"
                )
        for model_name in setting.models or profile.models:
            answers = isinstance(profile.models[model_name], PublishedAnswers)
            if isinstance(setting, Judged) and not answers:
                raise UsageError(f"evaluate.{name}: {model_name!r} must answer first: give max_new_tokens and batch")
            if not answers:
                _needed(f"evaluate.{name}", profile, "generation")
    _check_served(profile)
    counted = profile.analysis and profile.models.get(profile.analysis.tokenizer)
    if isinstance(counted, PublishedAnswers):
        raise UsageError("analysis.tokenizer: it names published answers, no model")


def _check_served(profile: Profile) -> None:
    """A name on a server is one model's."""
    engine = profile.generation and profile.generation.engine
    asked = [name for name, one in profile.models.items() if not isinstance(one, PublishedAnswers)]
    if isinstance(engine, ServerEngine) and engine.model is not None and len(asked) > 1:
        raise UsageError(
            f"generation.engine.model: {engine.model!r} is one model, and this profile asks {', '.join(asked)}: leave it out, "
            "and serve each by its name here"
        )


def _known(key: str, name: str, valid: Mapping[str, object]) -> None:
    if name not in valid:
        raise UsageError(
            f"{key}: {name!r} is not in the profile: {nearest(name, list(valid))}there are {', '.join(valid)}"
        )


def _needed(key: str, profile: Profile, *sections: str) -> None:
    for section in sections:
        if getattr(profile, section) is None:
            raise UsageError(f"the key {section!r} is missing: {key} needs it")


def _no_circle(part: str, name: str, sources: Mapping[str, str | None]) -> None:
    seen, at = [name], sources.get(name)
    while at is not None:
        if at in seen:
            raise UsageError(f"{part}.{name}: made from itself ({' <- '.join([*seen, at])})")
        seen.append(at)
        at = sources.get(at)
