"""Where a run's numbers come from: data files, scorers, environments, devices, the teacher's tokens, how models were trained
and ran."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.artifact import Manifest
from magicoder_repro.data.reply import USAGE
from magicoder_repro.generate.complete import Asked
from magicoder_repro.profile import Recipe
from magicoder_repro.report.scored import Scored

_DEVICES = (1, 2, 4, 8)


def sets(scored: Scored) -> list[dict[str, Any]]:
    """Each result of a score node: its data file, scorer, sandbox and tools."""
    return [
        {
            "node": scored.node,
            "set": name,
            "protocol": one.protocol,
            "dataset": one.dataset,
            "scorer": one.scorer,
            "sandbox": one.sandbox,
            "tasks": len(one.tasks),
            "samples": sum(len(task.samples) for task in one.tasks),
            "tools": {
                key: value for part in (one.languages or {}).values() for key, value in (part.toolchain or {}).items()
            },
        }
        for name, one in scored.results.items()
    ]


def stages(manifests: Mapping[str, Manifest], name: str, versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each node: how long it took, where, and what of its packages is not what the report was made with.

    `name`: the profile's, for the command that makes the node again."""
    return [
        {
            "name": node,
            "seconds": one.seconds,
            "counts": one.counts,
            "dropped": one.dropped,
            "notes": one.notes,
            "device": device(one.device),
            "environment": one.environment.get("name", ""),
            "lock_sha256": one.environment.get("lock_sha256", ""),
            "image": one.environment.get("image"),
            "other_versions": {key: was for key, was in one.versions.items() if versions.get(key) != was},
            "fingerprint": one.fingerprint,
            "commit": one.commit,
            "command": f"magicoder run {node}" + (f" --profile {name}" if name else ""),
        }
        for node, one in manifests.items()
    ]


def device(found: Mapping[str, Any]) -> str:
    """A machine in words."""
    gpus = found.get("gpu") or []
    parts = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    return ", ".join([*parts, f"{found.get('cpu', 'unknown CPU')} ({found.get('cores', '?')} cores)"])


def trainings(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """Of each training what decides its weights beside data and hyper-parameters, how a step's gradient was added up here, and how it
    would be on other numbers of devices."""
    found = []
    for node, one in manifests.items():
        if not node.startswith("sft/") or "recipe" not in one.config:
            continue
        recipe, used = Recipe.model_validate(one.config["recipe"]), int(one.counts.get("devices", 1))
        by_devices = {}
        for devices in sorted({*_DEVICES, used}):
            steps, rest = divmod(recipe.batch, recipe.micro_batch * devices)
            if steps and not rest:  # another number of devices makes no whole step
                by_devices[str(devices)] = steps
        found.append(
            {
                "node": node,
                "batch": recipe.batch,
                "micro_batch": recipe.micro_batch,
                "devices": used,
                "accumulation": by_devices,
                "steps": one.counts.get("steps"),
                "speed": recipe.speed,
                "dtype": recipe.dtype,
                "attention": recipe.attention,
                "lora": None if recipe.lora is None else recipe.lora.model_dump(),
            }
        )
    return found


def generations(inputs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Of each set that a model was asked: how it ran and how its answers were decoded."""
    found = []
    for node, folder in inputs.items():
        if not node.startswith("generate/"):
            continue
        for name, content in records.read_json(folder / "benchmarks.json").items():
            one = Asked.model_validate(content)
            if one.gap is not None:
                continue
            decoding = dict(one.decoding)
            engine, dtype = dict(decoding.pop("engine")), str(decoding.pop("dtype"))
            found.append(
                {
                    "node": node,
                    "set": name,
                    "engine": str(engine.pop("kind")),
                    "settings": {key: value for key, value in engine.items() if value is not None},
                    "dtype": dtype,
                    "decoding": decoding,
                }
            )
    return found


def teacher(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """What the teacher was asked, and the tokens that its replies cost."""
    found = []
    for node, one in manifests.items():
        tokens = {name: one.counts[name] for name in USAGE if isinstance(one.counts.get(name), int)}
        if tokens and "teacher" in one.config:
            model = str(one.config["teacher"].get("model", ""))
            found.append({"node": node, "model": model, "asked": one.counts.get("asked"), "tokens": tokens})
    return found
