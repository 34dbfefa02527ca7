"""Installs torch into an environment: `ENV/bin/python docker/torch_build.py docker/NAME ENV`, before anything else is in it.

pip fetches the file, so that the machine's own configuration says which build it is. There are two cases:
    the package index's own build: its hash stands in torch.lock, and so do those of what only it needs (CUDA's libraries)
    another build, of an index or a folder that pip is configured for: no lock can know its hash. Its release is the pinned one; what
    only it needs comes from there too.
ENV/.torch says for each file which of the two it was, and its sha256. What torch needs besides is in requirements.lock.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def pip(*words: str) -> None:
    """Runs pip, and ends with it when it fails."""
    done = subprocess.run([*PIP, *words], check=False)
    if done.returncode:
        raise SystemExit(f"error: `pip {' '.join(words)}` failed: is the index reachable, and is the release on it?")


def locked(path: Path) -> dict[str, set[str]]:
    """The packages of a lock, each with its sha256s."""
    found: dict[str, set[str]] = {}
    hashes: set[str] = set()
    for line in path.read_text().splitlines():
        pin = re.match(r"([A-Za-z0-9._-]+)==", line)
        if pin:
            hashes = found.setdefault(normalized(pin[1]), set())
        hashes.update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def normalized(name: str) -> str:
    """A package's name as locks have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(wheel: Path) -> set[str]:
    """The names of the packages that a wheel requires here."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = HeaderParser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    required = (Requirement(line) for line in lines)
    return {normalized(one.name) for one in required if one.marker is None or one.marker.evaluate({"extra": ""})}


def sha256(path: Path) -> str:
    """Of a file, in hex."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        for chunk in iter(lambda: file.read(1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()


def wheels(folder: Path) -> dict[str, Path]:
    """The files in a folder by the names of their packages."""
    return {normalized(path.name.split("-")[0]): path for path in sorted(folder.iterdir())}


def main() -> None:
    """Fetches, checks and installs."""
    spec, prefix = Path(sys.argv[1]), Path(sys.argv[2])
    ours, index = locked(spec / "requirements.lock"), locked(spec / "torch.lock")
    folder = prefix / ".wheels"
    folder.mkdir()
    pip(
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        "--requirement",
        str(spec / "torch.txt"),
    )
    torch = wheels(folder)["torch"]
    digest = sha256(torch)
    if digest in index["torch"]:
        origin = "checked by its hash in torch.lock"
        if len(index) > 1:
            rest = prefix / ".rest.txt"
            blocks = re.split(r"^(?=\S)", (spec / "torch.lock").read_text(), flags=re.MULTILINE)
            rest.write_text("".join(block for block in blocks if not block.startswith("torch==")))
            pip("download", "--no-deps", "--require-hashes", "--dest", str(folder), "--requirement", str(rest))
            rest.unlink()
    else:
        origin = "this machine's own build, as pip is configured: no lock has its hash"
        if needs(torch) - set(ours):
            pins = prefix / ".pins.txt"
            pins.write_text("\n".join(re.findall(r"^\S+==\S+", (spec / "requirements.lock").read_text(), re.MULTILINE)))
            pip("download", "--dest", str(folder), "--constraint", str(pins), str(torch))
            pins.unlink()
    kept = {name: path for name, path in wheels(folder).items() if name not in ours}
    pip("install", "--quiet", "--no-deps", "--no-index", *map(str, kept.values()))
    lines = [f"{sha256(path)}  {path.name}  {origin}\n" for path in kept.values()]
    (prefix / ".torch").write_text("".join(lines))
    shutil.rmtree(folder)
    print(f"torch: {torch.name}: {origin} (sha256 {digest}, kept in .torch)")


if __name__ == "__main__":
    main()
