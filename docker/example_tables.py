"""What an environment of DS-1000 holds besides packages: seaborn's example tables, which some problems load.

A table comes from MAGICODER_DATA (seaborn/NAME.csv) or from its public home, and is checked by its sha256. One that cannot be had is
named; the problems that load it are then marked in every result.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path

TABLES = {
    "exercise": "d67ff5896d7d262bba3ec0bd7a8db410e56afc96a0436e08dfe53016d5f1e4e6",
    "penguins": "e07636bd8af74260099ea2f8678e2eabbf35def579940cc76f67061ee16c06c1",
    "planets": "a6d10044887e17396974525a366f5fa2e4b34df70f491e64eb9943de0e3d3825",
    "tips": "e54cc4d2ce1bff65d32ca60b3e4b802e06bde1d7e7caf6f796f6bf7370e863b0",
}
HOME = "https://raw.githubusercontent.com/mwaskom/seaborn-data/master"
SECONDS, MOST_BYTES = 60, 1 << 20


def data() -> Path:
    """Where tables are looked for."""
    return Path(os.environ.get("MAGICODER_DATA") or Path(__file__).parents[1] / "data").resolve()


def content(folder: Path, name: str) -> bytes:
    """One of seaborn's tables; OSError when it cannot be had, ValueError when it is another one."""
    local = folder / "seaborn" / f"{name}.csv"
    if local.is_file():
        found, place = local.read_bytes(), str(local)
    else:
        place = f"{HOME}/{name}.csv"
        with urllib.request.urlopen(place) as reply:
            found = reply.read(MOST_BYTES)
    if hashlib.sha256(found).hexdigest() != TABLES[name]:
        raise ValueError(f"{place} is not the table that is pinned")
    return found


def put(prefix: Path) -> list[str]:
    """Puts the tables into PREFIX/share; returns those that could not be had, each with the reason."""
    socket.setdefaulttimeout(SECONDS)
    missing = []
    folder = prefix / "share" / "seaborn-data"
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        try:
            (folder / f"{name}.csv").write_bytes(content(data(), name))
        except (OSError, ValueError) as error:
            missing.append(f"{name} ({error})")
    return missing


def finish(prefix: Path, missing: Sequence[str], files: str) -> None:
    """Says what is missing, and compiles the packages, which are read-only when programs are judged."""
    name = prefix.name
    if missing:
        print(
            f"{name}: example tables that could not be had: {', '.join(missing)}: the problems that load them are marked"
        )
        print(f"{name}: put them into MAGICODER_DATA ({files}) and build the environment again")
    for packages in prefix.glob("lib/python*/site-packages"):
        compileall.compile_dir(str(packages), quiet=2, workers=0)
