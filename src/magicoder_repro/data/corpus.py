"""Stage `corpus`: open-source documents, one JSONL file a language, with counts of files and lines."""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.artifact import Work
from magicoder_repro.data import hub
from magicoder_repro.errors import UsageError
from magicoder_repro.profile import Corpus, HubDataset, LocalFiles
from magicoder_repro.progress import bar, say


def build(work: Work) -> None:
    """Writes `LANGUAGE.jsonl` with `path` and `content` for every source of the profile."""
    config = Corpus.model_validate(work.config["corpus"])
    found: dict[str, list[records.Record]] = {}
    with bar("corpus", len(config.sources), "sources") as progress:
        for source in config.sources:
            documents = found.setdefault(source.language, [])
            if isinstance(source, LocalFiles):
                before = len(documents)
                documents.extend(_local_documents(source, config.max_bytes))
                if len(documents) == before:
                    work.notes.append(f"{source.language}: no file under {source.root} ({', '.join(source.patterns)})")
                    say(f"corpus: {work.notes[-1]}")
            else:
                documents.extend(_hub_documents(source))
                if source.revision is None:
                    work.notes.append(f"{source.dataset} is unpinned: the profile names no revision")
            progress.advance()
    found = {language: documents for language, documents in found.items() if documents}
    if not found:
        roots = ", ".join(getattr(source, "root", "") or getattr(source, "dataset", "") for source in config.sources)
        raise UsageError(f"the corpus is empty: no source file found ({roots}): mend corpus.sources in the profile")
    for language, documents in sorted(found.items()):
        records.write_jsonl(work.out / f"{language}.jsonl", documents)
        lines = sum(len(document["content"].splitlines()) for document in documents)
        work.counts[language] = {"files": len(documents), "lines": lines}


def facts(config: Corpus) -> Callable[[], Mapping[str, Any]]:
    """The hash of the local documents, source by source: they are an input, although no stage makes them."""

    def found() -> dict[str, Any]:
        local = [source for source in config.sources if isinstance(source, LocalFiles)]
        hashes = [{"root": source.root, "sha256": _sha256(source, config.max_bytes)} for source in local]
        return {"local_files": hashes} if hashes else {}

    return found


def _sha256(source: LocalFiles, max_bytes: int) -> str:
    found = hashlib.sha256()
    for document in _local_documents(source, max_bytes):
        found.update(f"{document['path']}\0{len(document['content'])}\0{document['content']}".encode())
    return found.hexdigest()


def _folders() -> dict[str, str]:
    """What the placeholders of a profile's roots stand for on this machine."""
    folders = {
        "stdlib": sysconfig.get_path("stdlib"),
        "site-packages": sysconfig.get_path("platlib"),
        "env": sys.prefix,
    }
    try:
        git = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
        folders["git"] = git.stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pass
    return folders


def _local_documents(source: LocalFiles, max_bytes: int) -> Iterator[dict[str, Any]]:
    """The first `source.files` readable UTF-8 files in the order of their paths."""
    folders = _folders()
    name = source.root.partition("{")[2].partition("}")[0]
    if name and name not in folders:
        return
    root = Path(source.root.replace("{" + name + "}", folders[name]) if name else source.root)
    if "\0" in source.root:
        raise UsageError(f"corpus.sources: the root {source.root!r} is no path")
    count = 0
    for path in sorted(_files(root, source.exclude)):
        if count == source.files:
            return
        relative = path.relative_to(root).as_posix()
        matches = any(fnmatch.fnmatch(relative, pattern) for pattern in source.patterns)
        if not matches or any(fnmatch.fnmatch(relative, pattern) for pattern in source.exclude):
            continue
        if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= max_bytes:
            continue
        try:
            content = path.read_bytes().decode("utf-8")
        except (UnicodeDecodeError, PermissionError):
            continue
        if source.language == "shell" and not content.startswith("#") and path.suffix not in (".sh", ".bash"):
            continue
        count += 1
        yield {"path": f"{source.root}/{relative}", "content": content}


def _files(root: Path, exclude: Sequence[str]) -> Iterator[Path]:
    """All that lies under a folder, but for folders whose whole content is excluded."""
    whole = [pattern for pattern in exclude if pattern.endswith("/*")]  # a `*` stands for a `/` too
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        yield from (here / name for name in files)
        folders[:] = [
            name
            for name in folders
            if not any(fnmatch.fnmatch(f"{(here / name).relative_to(root).as_posix()}/", one) for one in whole)
        ]


def _hub_documents(source: HubDataset) -> list[dict[str, Any]]:
    """The first `source.documents` documents of a hub dataset, streamed."""
    options = {"data_dir": source.data_dir, "revision": source.revision, "streaming": True}
    stream = hub.rows("corpus.sources", source.dataset, ("content",), **options)
    documents = []
    with bar(f"corpus {source.language}", source.documents, "documents") as progress:
        for row in itertools.islice(stream, source.documents):
            documents.append({"path": row.get("max_stars_repo_path", ""), "content": row["content"]})
            progress.advance()
    return documents
