"""What nodes find where they are made: hashes of files, versions of tools, and what is missing. In a container that is another place
than this one: each image is asked once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from magicoder_repro import environment
from magicoder_repro import profile as profiles
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline.place import Place
from magicoder_repro.pipeline.plan import Node
from magicoder_repro.pipeline.runner import Host, Job, Runner, paths
from magicoder_repro.profile import Profile

_SAID = 400  # characters of an error


def seen(nodes: Sequence[Node], profile: Profile, runner: Runner) -> list[Node]:
    """The nodes, with the facts and gaps of the places where the runner makes them."""
    if isinstance(runner, Host):
        return list(nodes)
    found: dict[str, Any] = {}
    for name in dict.fromkeys(node.place.environment for node in nodes):
        there = [node for node in nodes if node.place.environment == name]
        found |= _ask(name, there, profile, runner)
    return [
        replace(node, facts=_given(found[node.name]["facts"]), missing=_given(found[node.name]["missing"]))
        for node in nodes
    ]


def look(nodes: Sequence[Node]) -> dict[str, Any]:
    """Of each node what is found here; a UsageError where the environment of the stages is not this checkout's."""
    if not environment.ready("core"):
        raise UsageError("its environment core is of another lock than the checkout's: make images")
    return {node.name: {"facts": dict(node.facts()), "missing": list(node.missing())} for node in nodes}


def _ask(name: str, nodes: Sequence[Node], profile: Profile, runner: Runner) -> Mapping[str, Any]:
    names = tuple(dict.fromkeys(variable for node in nodes for variable in node.place.variables))
    reads = [path for node in nodes for path in paths(node.config)]
    job = Job(Place(name, variables=names), ["look", *(node.name for node in nodes)], reads=reads, tied=False)
    command = runner.command(job)
    variables = {**os.environ, **command.variables}
    done = subprocess.run(
        command.words, env=variables, input=profiles.frozen(profile) + b"\n", capture_output=True, check=False
    )
    try:
        if done.returncode:
            raise ValueError
        return dict(json.loads(done.stdout))
    except ValueError:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise UsageError(f"--runner {runner.name}: the image {name} does not work here: {said[-_SAID:]}") from None


def _given(value: Any) -> Callable[[], Any]:
    return lambda: value
