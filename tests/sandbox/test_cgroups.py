"""Control groups of version 2, on a made-up tree: where a machine has memory in version 1, its kernel keeps it from version 2.

What only a kernel does (that `memory.max` bounds, that a process can be moved) is not shown here; `test_sandbox.py` has the CPU time
of real groups of version 2 and the memory of real ones of version 1.
"""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from magicoder_repro.sandbox import cgroups
from magicoder_repro.sandbox.cgroups import Group, _Places

FILES = {
    "cgroup.type": "domain\n",
    "cgroup.procs": "",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1400000\nsystem_usec 100000\n",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Our group, which may have groups beside it that have memory, and none below it that do."""
    folder = tmp_path / "above" / "own"
    folder.mkdir(parents=True)
    (tmp_path / "above" / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (folder / "cgroup.subtree_control").write_text("\n")
    return folder


@pytest.fixture
def group(own: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Group, Path]:
    """A group with the files that the kernel makes, and its folder."""
    monkeypatch.setattr(cgroups, "_NUMBERS", itertools.count(7))
    folder = own.parent / f"magicoder-sandbox-{os.getpid()}-7"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return Group(_Places(own.parent, own.parent, memory_is_v1=False)), folder


def test_a_group_is_bounded_and_entered(group: tuple[Group, Path]) -> None:
    one, folder = group
    one.limit(256)
    assert (folder / "memory.max").read_text() == str((256 + 16 + 64) << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert one.start(lambda: 5) == 5 and not one.settled  # no thread lives in it: the process is moved
    one.enter(1234)
    assert (folder / "cgroup.procs").read_text() == "1234" and not one.usable()
    (folder / "cgroup.procs").write_text("")
    assert one.usable()


def test_a_limit_that_is_not_taken_is_an_error(group: tuple[Group, Path]) -> None:
    one, folder = group
    (folder / "memory.max").unlink()
    (folder / "memory.max").mkdir()
    with pytest.raises(OSError):
        one.limit(256)


def test_what_the_kernel_counts_is_read(group: tuple[Group, Path]) -> None:
    one, folder = group
    with one.counting():
        assert (one.cpu_seconds(), one.times_out_of_memory()) == (1.5, 2)
        (folder / "memory.events").write_text(FILES["memory.events"].replace("oom_kill 2", "oom_kill 3"))
        assert one.times_out_of_memory() == 3


def _found(
    own: Path,
    works: bool,
    monkeypatch: pytest.MonkeyPatch,
    mounts: Mapping[str, tuple[Path, str]] | None = None,
    groups: Mapping[str, str] | None = None,
) -> _Places | None:
    """What is found on a machine, which without `mounts` has version 2 alone, where groups with memory can be made or not."""
    monkeypatch.setattr(cgroups, "_hierarchies", lambda: mounts or {"": (own.parent.parent, "/")})
    monkeypatch.setattr(cgroups, "_own", lambda: groups or {"": "/above/own"})
    monkeypatch.setattr(cgroups, "_works", lambda places: works or (places.memory, places.cpu) == (None, own))
    monkeypatch.setattr(atexit, "register", lambda *_: None)
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    return cgroups._places.__wrapped__()


def test_memory_is_bounded_beside_us_where_it_can_be(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found(own, True, monkeypatch) == _Places(own.parent, own.parent, memory_is_v1=False)


def test_cpu_time_is_counted_below_us_where_memory_is_not_ours_to_bound(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an ordinary user, whose own group alone is hers."""
    assert _found(own, False, monkeypatch) == _Places(None, own, memory_is_v1=False)


def test_a_machine_without_version_2_has_the_groups_of_version_1(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = {"memory": (own, "/"), "cpuacct": (own.parent, "/")}
    assert _found(own, True, monkeypatch, mounts, dict.fromkeys(mounts, "/")) == _Places(
        own, own.parent, memory_is_v1=True
    )
