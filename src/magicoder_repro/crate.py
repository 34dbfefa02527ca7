"""`ro-crate-metadata.json` of an archive: RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), JSON-LD of schema.org's words.

Every file with its size and sha256, and of every node of a run an action: what made it (instrument), of what (object), what came out
(result), in which environment. Written here: the library `rocrate` needs a converter of workflows (gxformat2) for nothing that is
used, in an environment whose lock is part of every manifest, and leaves the zip to be made again for equal bytes. No term is used that
neither RO-Crate's context nor the two lines of CONTEXT define.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from magicoder_repro import __version__, strict_yaml
from magicoder_repro.artifact import MANIFEST, Manifest
from magicoder_repro.errors import UsageError

NAME = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"  # of Workflow Run RO-Crate: 1.1 itself has no word for a hash
CONTEXT = [f"{SPECIFICATION}/context", {name: _TERMS + name for name in ("sha256", "environment")}]
_FORMATS = {
    ".css": "text/css",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".png": "image/png",
    ".py": "text/x-python",
    ".tex": "application/x-tex",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
}
Entity = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """The commit that the archive is of; `citation`: the content of CITATION.cff."""

    commit: str
    date: str
    changed: bool
    citation: bytes


def describe(source: Source, contents: Mapping[str, bytes], manifests: Mapping[str, Manifest]) -> bytes:
    """The metadata of an archive of `contents` (path -> bytes); `manifests`: `runs/PROFILE/NODE` -> its manifest."""
    try:
        about = strict_yaml.load(source.citation)
        paper = about["preferred-citation"]
        authors, title, licence = [_agent(one) for one in about["authors"]], str(about["title"]), str(about["license"])
        article = {"@id": str(paper["url"]), "@type": "ScholarlyArticle", "name": str(paper["title"])}
        writers = [_agent(one) for one in paper["authors"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"CITATION.cff: title, license, authors, preferred-citation are needed ({error})") from None
    rights = {"@id": f"https://spdx.org/licenses/{licence}", "@type": "CreativeWork", "name": licence}
    found = {one["@id"]: one for one in (*authors, *writers, rights)}
    found[article["@id"]] = {**article, "author": [_to(one) for one in writers]}
    files = {name: _file(name, content) for name, content in contents.items()}
    found |= {one["@id"]: one for one in files.values()}
    actions = [quote(f"#{name}", safe="#/") for name in manifests]
    for name, manifest in manifests.items():  # first: a node's name says more than an input's
        one = _made(name, manifest)
        found.setdefault(one["@id"], one)
    for name, manifest in manifests.items():
        results = [_to(files[path]) for path in files if path.rpartition("/")[0] == name]
        for one in _action(name, manifest, results):
            found.setdefault(one["@id"], one)
    text = (
        "Source, locks, recorded results and reference numbers of a reproduction package of the Magicoder paper, with the manifests "
        "and reports of the runs that were there. No model weights and no benchmark data. Code: Apache-2.0; REPRODUCE.md names the "
        "licences of models and data. In manifests and reports words such as {checkout} stand for folders of the machine."
    )
    if source.changed:
        text += " The checkout had changes that were not committed; they are not in this archive."
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{title} {__version__}",
        "description": text,
        "version": __version__,
        "identifier": f"swh:1:rev:{source.commit}",
        "datePublished": source.date,
        "license": _to(rights),
        "author": [_to(one) for one in authors],
        "citation": _to(article),
        "hasPart": [_to(files[name]) for name in sorted(files)],
        "mentions": [{"@id": name} for name in actions],
    }
    descriptor = {
        "@id": NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": SPECIFICATION},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, *(found[name] for name in sorted(found))]
    return (json.dumps({"@context": CONTEXT, "@graph": graph}, ensure_ascii=False, indent=1) + "\n").encode()


def _to(one: Mapping[str, Any]) -> Entity:
    return {"@id": one["@id"]}


def _file(name: str, content: bytes) -> Entity:
    found: Entity = {
        "@id": quote(name),
        "@type": "File",
        "name": name,
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    kind = _FORMATS.get(PurePosixPath(name).suffix)
    return {**found, "encodingFormat": kind} if kind else found


def _agent(one: Mapping[str, Any]) -> Entity:
    """A person or a team of CITATION.cff."""
    if "name" in one:
        name, kind = str(one["name"]), "Organization"
    else:
        name, kind = f"{one['given-names']} {one['family-names']}", "Person"
    return {"@id": str(one.get("orcid") or quote(f"#{name}", safe="#")), "@type": kind, "name": name}


def _action(name: str, manifest: Manifest, results: list[Entity]) -> Iterator[Entity]:
    """A node's action and what it mentions. A result is known by its content: the object of one node is the result of another."""
    _, profile, node = name.split("/", 2)
    stage = {
        "@id": f"#stage-{manifest.stage}-{manifest.stage_version}",
        "@type": "SoftwareApplication",
        "name": f"magicoder-repro, stage {manifest.stage}",
        "softwareVersion": str(manifest.stage_version),
    }
    used = [_content(sha256, key) for key, sha256 in sorted(manifest.inputs.items())]
    facts = {
        **{f"environment {key}": value for key, value in manifest.environment.items()},
        **manifest.versions,
        **{f"device {key}": value for key, value in manifest.device.items()},
        "commit": manifest.commit,
    }
    around = [_fact(key, value) for key, value in facts.items() if value is not None]
    yield from around
    yield from used
    yield stage
    yield {
        "@id": quote(f"#{name}", safe="#/"),
        "@type": "CreateAction",
        "name": f"{node} of the profile {profile}",
        "description": f"took {manifest.seconds} seconds; settings, counts and the hash of every file: {name}/{MANIFEST}",
        "instrument": _to(stage),
        "object": [_to(one) for one in used],
        "result": [*results, _to(_made(name, manifest))],
        "environment": [_to(one) for one in around],
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }


def _made(name: str, manifest: Manifest) -> Entity:
    """A node's files, by the hash that others know them by (`artifact.content_sha256`)."""
    sha256 = hashlib.sha256(json.dumps(manifest.outputs, sort_keys=True).encode()).hexdigest()
    return _content(sha256, name)


def _content(sha256: str, name: str) -> Entity:
    """What is not in the archive, by its hash."""
    return {"@id": f"#sha256-{sha256}", "@type": "CreativeWork", "name": name, "sha256": sha256}


def _fact(key: str, value: Any) -> Entity:
    text = value if isinstance(value, str) else json.dumps(value)
    return {"@id": quote(f"#{key}={text}", safe="#"), "@type": "PropertyValue", "name": key, "value": text}
