"""`magicoder archive`: what a deposit (Zenodo, an artifact track) needs, in one zip.

In it: the files of the commit (source, locks, recorded and reference numbers), of every run its manifests and its report (without the
tasks' prompts and completions), and
`ro-crate-metadata.json` (crate.py). Not in it: weights, records, completions, benchmark data, and whatever is not committed. What a
run wrote names folders of its machine; words take their place. The same commit and runs give the same bytes.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro import __version__, artifact, crate, environment, outputs, records
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.environment import ROOT
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import store
from magicoder_repro.progress import say
from magicoder_repro.terminal import without_secrets

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip: the same for every file
_REPORT = (".html", ".md", ".json")
_TASKS = re.compile(r'(<script type="application/gzip-base64" id="drill">)[^<]*')  # prompts and completions, packed
# A folder of the machine in a text of JSON, up to the last part of its path; nothing of an address, a fraction or a closing tag.
_FOLDER = re.compile(r"(?<![\w:/}~.<])(/(?:[^\s/\"'`:,;<>\\]+/)+)(?=[^\s/\"'`])")


@dataclass(frozen=True)
class Commit:
    """What the archive is of. `files`: path in the checkout -> content and whether it is a program; `changed`: whether the checkout
    has changes that are not in it."""

    name: str
    date: str
    changed: bool
    files: Mapping[str, tuple[bytes, bool]]


def build(out: Path | None = None, root: Path = ROOT) -> Path:
    """Writes the archive of a checkout, as `dist/magicoder-repro-VERSION.zip` without `out`.

    UsageError where there is no commit to take.
    """
    commit = _commit(root)
    if commit.changed:
        say("warning: the checkout has changes that are not committed: they are not in the archive, which says so")
    out = out or root / "dist" / f"magicoder-repro-{__version__}.zip"
    out.parent.mkdir(parents=True, exist_ok=True)
    with outputs.claimed(out, file=True):
        runs = nodes(root / "runs")
        manifests = {name: artifact.read_manifest(folder) for name, folder in runs.items()}
        reports = [name for name, manifest in manifests.items() if manifest.stage == "report"]
        written = dict(_portable(runs, reports, root))
        contents = {name: content for name, (content, _) in commit.files.items()} | written
        about = crate.Source(commit.name, commit.date, commit.changed, contents["CITATION.cff"])
        metadata = crate.describe(about, contents, manifests)
        programs = {name for name, (_, program) in commit.files.items() if program}
        records.write_bytes(out, _zip({crate.NAME: metadata, **contents}, programs))
    return out


def nodes(runs: Path) -> dict[str, Path]:
    """The results that runs lead to: `runs/PROFILE/NODE` -> its folder, sorted."""
    found: dict[str, Path] = {}
    for run in sorted(runs.iterdir()) if runs.is_dir() else []:
        if run.name == store.NAME or not run.is_dir():
            continue
        for parent, folders, _ in os.walk(run):
            folders[:] = [name for name in folders if name != store.NAME]
            for link in (Path(parent, name) for name in folders):
                if link.is_symlink() and (link / artifact.MANIFEST).is_file():
                    found[f"runs/{link.relative_to(runs).as_posix()}"] = link
    return dict(sorted(found.items()))


def _commit(root: Path) -> Commit:
    """What is committed: what the work tree has beside it is nobody's to publish unasked."""
    mend = "the archive is made of a commit: run it in a git clone"
    try:
        top = _git(root, "rev-parse", "--show-toplevel").decode().strip()
        if Path(top).resolve() != root.resolve():  # an unpacked archive somewhere inside another repository
            raise UsageError(f"{root}: no git checkout of its own: {mend}")
        name = _git(root, "rev-parse", "--verify", "HEAD").decode().strip()
        date = _git(root, "show", "--no-patch", "--format=%cI", name).decode().strip()
        changed = bool(_git(root, "status", "--porcelain"))
        packed = _git(root, "archive", "--format=tar", name)
    except FileNotFoundError:
        raise UsageError(f"git is not installed: {mend}") from None
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stderr.decode(errors="replace").split())
        raise UsageError(f"{root}: git says {why!r}: {mend}") from None
    files: dict[str, tuple[bytes, bool]] = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                files[member.name] = (content.read(), bool(member.mode & 0o100))
    if "CITATION.cff" not in files:
        raise UsageError(f"{root}: CITATION.cff is not committed: it names the authors and the licence")
    return Commit(name, date, changed, files)


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True).stdout


def _portable(runs: Mapping[str, Path], reports: Collection[str], root: Path) -> Iterator[tuple[str, bytes]]:
    """The manifests of runs and the files of reports, as text without secrets and without folders of this machine."""
    texts: dict[str, str] = {}
    for name, folder in runs.items():
        texts[f"{name}/{artifact.MANIFEST}"] = (folder / artifact.MANIFEST).read_text()
        for path in artifact.output_files(folder) if name in reports else ():
            if path.suffix in _REPORT:
                texts[f"{name}/{path.relative_to(folder).as_posix()}"] = _TASKS.sub(r"\1", path.read_text())
    places = _places(root)
    for name, text in texts.items():
        if name.endswith(".json"):
            known = _replaced(text, places)
            places |= {match.rstrip("/"): "{elsewhere}" for match in _FOLDER.findall(known)}
    for name, text in texts.items():
        yield name, without_secrets(_replaced(text, places)).encode("utf-8", "backslashreplace")


def _places(root: Path) -> dict[str, str]:
    """Folders of this machine and the words for them."""
    named = {
        Path.home(): "~",
        Path(tempfile.gettempdir()): "{tmp}",
        Path(sys.prefix): "{environment}",
        environment.cache(): "{MAGICODER_CACHE}",
        data_folder(): "{MAGICODER_DATA}",
        root: "{checkout}",
    }
    both = {str(path): word for folder, word in named.items() for path in (folder.absolute(), folder.resolve())}
    return {path: word for path, word in both.items() if path != "/"}


def _replaced(text: str, places: Mapping[str, str]) -> str:
    """The text with the words in the places of the folders, the innermost first."""
    for path in sorted(places, key=lambda path: (-len(path), path)):
        text = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w-])", places[path], text)
    return text


def _zip(contents: Mapping[str, bytes], programs: set[str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.create_system = 3  # Unix, whatever writes it
            info.external_attr = (0o100755 if name in programs else 0o100644) << 16
            archive.writestr(info, contents[name], zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()
