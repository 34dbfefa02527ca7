"""`magicoder rescore`: published answers, judged again, as far as what that takes is here or can be fetched.

The pipeline is `run`'s. What is done before: answers and task sets are fetched, and what cannot be had, or judged here, is left out
with one line each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from magicoder_repro import benchmarks, downloads
from magicoder_repro import profile as profiles
from magicoder_repro.benchmarks import base
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.generate import answers, at_hand
from magicoder_repro.pipeline.run import run_all
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import (
    Archive,
    Evaluation,
    Judged,
    Profile,
    Protocol,
    PublishedAnswers,
    Report,
    Scoring,
    check_names,
)
from magicoder_repro.progress import say
from magicoder_repro.report import reference
from magicoder_repro.report.build import print_table

PROFILE = "rescore"
PATIENCE = 5.0
"""Seconds in which a server must have answered: `make all` asks on every laptop, whether there is a network or not."""
_ARCHIVE = "given"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. `answers`: somebody's, which `model` is the name of; without them those of a profile."""

    answers: Path | None = None
    model: str | None = None
    protocols: tuple[str, ...] = ()
    as_authors: bool = False
    profile_name: str = PROFILE
    workers: int | None = None

    @property
    def run_name(self) -> str:
        """The folder of the run."""
        if self.answers is None:
            return self.profile_name
        if self.model is None:
            raise UsageError(
                f"{self.answers}: --model is missing: say whose answers they are, as --model Magicoder-CL-7B"
            )
        return f"rescore-{slug(self.model)}"

    def profile(self) -> Profile:
        """The profile of it."""
        known = get_args(Protocol)
        for name in self.protocols:
            if name not in known:
                raise UsageError(f"--protocol {name}: one of {', '.join(known)}")
        if self.answers is not None:
            assert self.model is not None
            chosen = list(dict.fromkeys(self.protocols)) or list(known)
            cores = len(os.sched_getaffinity(0))
            return of_answers(self.answers, self.model, chosen, self.as_authors, self.workers or cores)
        if self.model is not None or self.as_authors:
            raise UsageError("--model and --as-authors are about ANSWERS: name the folder or file that holds them")
        profile = only_published(profiles.load(self.profile_name), self.profile_name)
        if self.protocols:
            profile = with_protocols(profile, self.protocols)
        if self.workers is not None:
            profile = profile.model_copy(
                update={"scoring": profile.scoring.model_copy(update={"workers": self.workers})}
            )
        return profile


def rescore(asked: Asked, run: Run, if_possible: bool) -> None:
    """Fetches, judges and prints the table, as `run` does. `if_possible`: nothing that can be judged is no error."""
    found = possible(asked.profile())
    if found.profile is None and not if_possible:
        raise UsageError(f"nothing can be judged: {'; '.join(found.left_out)}")
    for line in found.left_out:
        say(f"rescore: left out: {line}")
    if found.profile is not None:
        made = run_all(found.profile, run, ())
        if not made:
            say(f"nothing to do: everything in {run.folder} is up to date")
        print_table(run.folder / "report", quiet=not made)


def fetched(asked: Asked) -> bool:
    """Whether any answers are at hand or could be fetched; says in one line what is left out where none are."""
    profile, network = asked.profile(), _Network(PATIENCE)
    reasons = _reasons(profile, network)
    if any(reason is None for reason in reasons.values()):
        return True
    say(f"rescore: left out: {'; '.join(str(reason) for reason in reasons.values())}")
    return False


def archives_named(name: str, profile_name: str | None) -> dict[str, Archive]:
    """The `archives` that a name means in a profile; without one in `rescore`, then in the other profiles of the package."""
    names = [profile_name] if profile_name else [PROFILE, *(one for one in profiles.known() if one != PROFILE)]
    known: dict[str, None] = dict.fromkeys(benchmarks.NAMES)
    for one in names:
        loaded = profiles.load(one).archives
        if found := at_hand.named(name, loaded):
            return found
        known |= dict.fromkeys(loaded)
    raise UsageError(f"nothing to fetch is called {name!r}: {nearest(name, list(known))}one of {', '.join(known)}")


@dataclass(frozen=True)
class Possible:
    """What of a profile can be judged here, None when nothing can; and what is left out, one line each."""

    profile: Profile | None
    left_out: tuple[str, ...]


def slug(name: str) -> str:
    """A model's name as profiles and folders have it: lower-case letters, digits, `-` and `_`."""
    found = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")
    if not found or len(found) > _LONGEST_NAME:
        raise UsageError(f"--model {name!r:.80}: a name with letters or digits is wanted, {_LONGEST_NAME} at most")
    return found


def of_answers(path: Path, model: str, protocols: Sequence[str], as_authors: bool, workers: int) -> Profile:
    """The profile of somebody's answers: a folder, an archive or a file. Those benchmarks are judged that it has answers to."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder: give the one that holds the answers")
    found = answers.contents(path)
    for note in answers.notes(found, {one.path: model for one in found.answers}):
        say(f"rescore: {note}")
    here = [name for name in benchmarks.NAMES if name in {one.benchmark for one in found.answers}]
    if not here:
        raise UsageError(
            f"{path}: no answers to HumanEval or MBPP in it: EvalPlus' JSONL or its folders of programs are wanted"
        )
    rows = reference.models()
    if model not in rows:
        hint = nearest(model, rows)
        say(f"rescore: no table of the paper has {model!r}: {hint}its numbers stand alone")
    profile = Profile(
        description=f"Answers of {model}, judged",
        archives={_ARCHIVE: Archive(file=str(path.resolve()), answers="authors" if as_authors else "others")},
        models={
            slug(model): PublishedAnswers(
                archive=_ARCHIVE, match=["*"], label=model, paper=model if model in rows else None
            )
        },
        evaluate={name: Judged.model_validate({"protocol": list(protocols)}) for name in here},
        scoring=Scoring(workers=workers),
        report=Report(recorded=None, comparable=model in rows),
    )
    check_names(profile)
    return profile


def only_published(profile: Profile, name: str) -> Profile:
    """The profile; a UsageError when a model of it must answer first."""
    for model, one in profile.models.items():
        if not isinstance(one, PublishedAnswers):
            raise UsageError(
                f"{name}: models.{model} has no published answers: `magicoder run --profile {name}` asks it"
            )
    for benchmark, setting in profile.evaluate.items():
        if not isinstance(setting, Judged):
            raise UsageError(
                f"{name}: evaluate.{benchmark}: published answers need no decoding: leave out all but protocol, models"
            )
    return profile


def with_protocols(profile: Profile, protocols: Sequence[str]) -> Profile:
    """The profile with no other protocols than these."""
    found: dict[str, Evaluation] = {}
    for name, setting in profile.evaluate.items():
        kept = [one for one in setting.protocols if one in protocols]
        if kept and isinstance(setting, Judged):
            found[name] = setting.model_copy(update={"protocol": kept})
    if not found:
        raise UsageError(f"--protocol {', '.join(protocols)}: the profile judges by none of them")
    return profile.model_copy(update={"evaluate": found})


def possible(profile: Profile, patience: float = PATIENCE) -> Possible:
    """Fetches what the profile needs and lacks; what cannot be had is left out. Nobody is asked any more when one did not answer."""
    network = _Network(patience)
    reasons = _reasons(profile, network)
    left_out = [reason for reason in reasons.values() if reason is not None]
    models = {
        name: one
        for name, one in profile.models.items()
        if isinstance(one, PublishedAnswers) and (one.archive is None or reasons[one.archive] is None)
    }
    if not models:
        return Possible(None, tuple(left_out))
    evaluate: dict[str, Evaluation] = {}
    for name, setting in profile.evaluate.items():
        kept: list[Protocol] = []
        for protocol in setting.protocols:
            reason = network.benchmark(name, protocol)
            if reason is None:
                kept.append(protocol)
            else:
                left_out.append(f"{name} by protocol {protocol}: {reason}")
        asked = [model for model in setting.models or models if model in models]
        if kept and asked and isinstance(setting, Judged):
            update = {"protocol": kept, **({"models": asked} if setting.models is not None else {})}
            evaluate[name] = setting.model_copy(update=update)
    if not evaluate:
        return Possible(None, tuple(left_out))
    return Possible(profile.model_copy(update={"models": models, "evaluate": evaluate}), tuple(left_out))


def _reasons(profile: Profile, network: _Network) -> dict[str, str | None]:
    """Of each archive that a model's answers are in why it cannot be had, None when it is at hand now."""
    used = dict.fromkeys(one.archive for one in profile.models.values() if isinstance(one, PublishedAnswers))
    reasons = {name: network.archive(name, profile.archives[name]) for name in used if name is not None}
    return {name: reason and f"the answers {name}: {reason}" for name, reason in reasons.items()}


class _Network:
    """Asks for files; after the first server that did not answer, no other is asked."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._silent = False

    def archive(self, name: str, archive: Archive) -> str | None:
        """Why an archive cannot be had, with the mend."""
        path = at_hand.place(archive)
        if self._silent and not path.exists():
            return f"no network: run `magicoder fetch {name}`, or put {archive.url} at {path}"
        return self._reason(lambda: at_hand.fetch(name, archive, patience=self._patience))

    def benchmark(self, name: str, protocol: str) -> str | None:
        """Why a benchmark cannot be judged by a protocol, with the mend."""
        one = benchmarks.get(name)
        if gaps := one.missing(protocol):
            return gaps[0]
        file = next(iter(one.protocol(protocol).files.values()))
        path = base.data_folder() / file.path
        if path.is_file() or file.url is None:
            return self._reason(lambda: one.find(protocol))
        if self._silent:
            return f"no network: run `magicoder fetch {name} --protocol {protocol}`, or put {file.url} at {path}"
        url = file.url

        def fetch() -> None:
            downloads.reach(url, path, self._patience)
            base.fetch(one, protocol, base.data_folder())

        return self._reason(fetch)

    def _reason(self, action: Callable[[], object]) -> str | None:
        try:
            action()
        except UsageError as error:
            self._silent = self._silent or isinstance(error, downloads.UnreachableError)
            return str(error)
        return None
