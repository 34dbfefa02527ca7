"""Makes every stale node of a profile, each in a process of its own.

The order is the plan's. A node is stale when its fingerprint (its part of the profile, the content of its inputs, the stage's
version, and for verdicts what judges) or one of its files differs. Another lock or package makes nothing stale by itself: `status`
shows it, and `--refresh STAGE` makes it again.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from magicoder_repro import artifact, environment, takes, temporary
from magicoder_repro import profile as profiles
from magicoder_repro.errors import Stopped, UsageError
from magicoder_repro.pipeline import estimate, plan, seen, store
from magicoder_repro.pipeline import runner as runners
from magicoder_repro.pipeline.plan import Node
from magicoder_repro.pipeline.runner import Runner
from magicoder_repro.pipeline.store import Run
from magicoder_repro.profile import Profile
from magicoder_repro.progress import say, tell
from magicoder_repro.report import build as report
from magicoder_repro.report import compare
from magicoder_repro.train import SFT

_OF_THE_ENGINE = (125, 126, 127)  # exit codes: it failed, not what it was to run
_LOCK = ".lock"  # stays in a run's folder


def make(node: Node, run: Run, again: bool) -> None:
    """Makes one node in this process, and lets its place in the run lead to it."""
    module, _, function = node.stage.body.partition(":")
    body = getattr(importlib.import_module(f"magicoder_repro.{module}"), function)
    request = run.request(node)
    with store.alone(request.out):
        artifact.build(request, body, again)
    run.put(node, request.out)


def run_all(
    profile: Profile,
    run: Run,
    targets: Sequence[str],
    refresh: Sequence[str] = (),
    verify: bool = False,
    only: bool = False,
    runner: Runner | None = None,
) -> int:
    """Makes every stale node of the targets; returns how many were made. `refresh`: stages or nodes that are made again in any case;
    `verify`: every file's hash is compared, not its size and time alone; `only`: what the targets need is there already, else a
    UsageError, and several such runs may work in the folder; `runner`: where; on this host without it."""
    report.check_names(profile)
    runner = runner or runners.Host()
    every = plan.expand(profile)
    nodes = seen.seen(plan.needed(every, targets), profile, runner)
    alone = set(plan.meant(every, targets)) if only else {node.name for node in nodes}
    if not alone:
        raise UsageError("--only: name the nodes that are to be made")
    again = set(plan.meant(every, refresh))
    if outside := sorted(again - {node.name for node in nodes}):
        raise UsageError(f"--refresh {outside[0]}: it is no part of what is asked for: name it as a stage too")
    compare.recorded_folder(profile.report)  # a wrong name is told now, not after the work
    if profile.report.comparable:
        nothing_missing([node for node in nodes if node.name in alone], store.states(run, nodes, verify))
    for node in nodes:
        run.check(node)
    run.folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with _only_run(run.folder, shared=only) as lock:
        place = {node.name: f"[{number}/{len(nodes)}] {node.name}" for number, node in enumerate(nodes, 1)}
        made: dict[str, Path] = {}
        for group in _groups(nodes):
            requests = {node: run.request(node, made) for node in group}
            stale = []
            for node, request in requests.items():
                artifact.tidy(request)
                reason = "asked for" if node.name in again else store.why_stale(run, node, request, verify)
                if reason is not None:
                    if node.name not in alone:
                        raise UsageError(f"--only: {node.name} is needed and not up to date ({reason}): make it first")
                    stale.append(node)
                    note = "" if reason == artifact.NOT_MADE else f" (again: {reason})"
                    say(f"{place[node.name]}: {node.stage.help}{note}")
            if stale:
                _in_process(stale, profile, run, lock, again, runner)
            for node, request in requests.items():
                if node in stale:
                    seconds = artifact.read_manifest(request.out).seconds
                    say(f"{place[node.name]}: done in {seconds:.0f} s{_drops(request.out)}")
                run.put(node, request.out)
                made[node.name] = request.out
            count += len(stale)
    return count


def join(profile: Profile, run: Run, targets: Sequence[str]) -> None:
    """What this node does where srun has started `run_all` for a training on several: it trains with the first."""
    every = plan.expand(profile)
    for name in plan.meant(every, targets):
        nodes = plan.needed(every, [name])
        if nodes[-1].stage is not SFT:
            raise UsageError(
                f"{name}: srun started this on several nodes, and only a training works on them: give --nodes=1"
            )
        request = store.states(run, nodes, verify=False)[name].request
        if request is None:
            raise UsageError(f"--only: what {name} needs is not up to date: make it first")
        from magicoder_repro.train import launch  # loads torch

        made = partial(_made, request)
        with temporary.own_folder():
            launch.join(artifact.private(request.out), name, made)


def _made(request: artifact.Request) -> bool:
    return artifact.why_stale(request, verify=False) is None


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes, those together that one process makes: they share a large input, and none needs another."""
    found: list[list[Node]] = []
    for node in nodes:
        last = found[-1][-1] if found else None
        shared = node.stage.shares
        if last and shared and last.stage is node.stage and last.inputs[shared] == node.inputs[shared]:
            found[-1].append(node)
        else:
            found.append([node])
    return found


def nothing_missing(nodes: Sequence[Node], states: Mapping[str, store.State]) -> None:
    """Where numbers are to be compared with the paper's, what is missing is an error before the work starts."""
    found = [f"{node.name}: {gap}" for node in nodes if states[node.name].reason for gap in node.missing()]
    if found:
        more = f" (and {len(found) - 1} more: `magicoder plan` lists them)" if len(found) > 1 else ""
        raise UsageError(f"report.comparable needs everything here: {found[0]}{more}")


def show(
    profile: Profile, run: Run, targets: Sequence[str] = (), verify: bool = False, runner: Runner | None = None
) -> None:
    """Prints the nodes as a tree: up to date, stale and why, what is missing and the mend. Nothing is made."""
    report.check_names(profile)
    nodes = seen.seen(plan.needed(plan.expand(profile), targets), profile, runner or runners.Host())
    states = store.states(run, nodes, verify)
    for node in nodes:
        depth = 0 if "/" not in node.name else 1
        tell(f"{'  ' * depth}{node.name:{44 - 2 * depth}} {states[node.name].reason or 'up to date'}")
        if states[node.name].reason and node.takes:
            tell(f"{'  ' * (depth + 1)}takes {node.takes}")
            tell(f"{'  ' * (depth + 2)}{'; '.join(node.takes.sources)}")
        for gap in node.missing() if states[node.name].reason else ():
            tell(f"{'  ' * (depth + 1)}missing: {gap}")
    stale = sum(state.reason is not None for state in states.values())
    tell(f"{len(nodes) - stale} of {len(nodes)} nodes are up to date, {stale} would be made")
    _tell_total([node for node in nodes if states[node.name].reason])
    if profile.report.comparable:
        nothing_missing(nodes, states)


def _tell_total(nodes: Sequence[Node]) -> None:
    """What all of them take, as far as it can be said before."""
    known = [node.takes for node in nodes if node.takes]
    if known:
        tell(f"in all: {takes.total(known)}")
    if silent := sorted({node.stage.name for node in nodes if not node.takes}):
        tell(f"unknown (the processor alone, or models too small to count): what {', '.join(silent)} take")
    if any(one.gpu_hours for one in known):
        tell(estimate.ASSUMED)
    if any(one.dollars is None for one in known):
        tell("dollars are unknown without prices: training.price_per_hour, teacher.cost")


def collect(run: Run, interrupted: bool, delete: bool) -> None:
    """Says which results no run leads to; deletes them. Not while a run works: it may need them the next moment."""
    with ExitStack() as locks:
        if delete:
            for folder in store.runs_of(run):
                if (folder / _LOCK).is_file():
                    locks.enter_context(_only_run(folder))
        found = store.garbage(run, interrupted)
        for path, size in found:
            tell(f"{path}  {size / 1e6:.1f} MB")
        total = sum(size for _, size in found) / 1e6
        tell(f"{len(found)} results, {total:.1f} MB" + ("" if delete or not found else ": `--yes` deletes them"))
        if delete:
            store.remove([path for path, _ in found])


def status(profile: Profile, run: Run) -> None:
    """Prints what each node was made with, where that is not what is here now."""
    now = environment.versions()
    for node in plan.expand(profile):
        folder = run.link(node.name)
        if not (folder / artifact.MANIFEST).is_file():
            tell(f"{node.name}: not made yet")
            continue
        manifest = artifact.read_manifest(folder)
        then = manifest.versions
        other = [
            f"{name} {then.get(name)}, now {now.get(name)}"
            for name in {**then, **now}
            if then.get(name) != now.get(name)
        ]
        if manifest.environment["lock_sha256"] != environment.identity(node.place.environment)["lock_sha256"]:
            other.append("another lock")
        made = f"made in {manifest.seconds:.0f} s, commit {str(manifest.commit)[:8]}"
        tell(
            f"{node.name}: {made}"
            + (f"; made with {'; '.join(other)}: `--refresh {node.name}` makes it again" if other else "")
        )


def _drops(folder: Path) -> str:
    manifest = artifact.read_manifest(folder)
    kept = manifest.counts.get("kept")
    parts = [f"{kept} kept"] if kept is not None else []
    parts += [f"{count} dropped: {reason}" for reason, count in manifest.dropped.items()]
    return f", {', '.join(parts)}" if parts else ""


def images(profile: Profile, targets: Sequence[str]) -> list[str]:
    """The environments that the targets, and what they need, are made in."""
    return list(dict.fromkeys(node.place.environment for node in plan.needed(plan.expand(profile), targets)))


def commands(profile: Profile, run: Run, targets: Sequence[str], runner: Runner) -> None:
    """Prints the command that makes each node, or those together that one process makes. Nothing is made."""
    for group in _groups(plan.needed(plan.expand(profile), targets)):
        job = _job(group, run, set())
        file = Path(profile.name).resolve() if profile.name.endswith((".yaml", ".yml")) else None
        words, reads = [*job.arguments, "--profile", str(file or profile.name)], [*job.reads, *([file] if file else [])]
        tell(runner.command(replace(job, arguments=words, reads=reads, tied=False)).shown())


def _job(nodes: Sequence[Node], run: Run, again: set[str]) -> runners.Job:
    names = [node.name for node in nodes]
    words = ["stage", *names, "--runs", str(run.folder.resolve()), "--store", str(run.store.resolve())]
    words += [word for name in names if name in again for word in ("--again", name)]
    reads = [path for node in nodes for path in runners.paths(node.config)]
    return runners.Job(nodes[0].place, words, (run.folder, run.store), reads)


def _in_process(nodes: Sequence[Node], profile: Profile, run: Run, lock: int, again: set[str], runner: Runner) -> None:
    """A process a group of nodes: its memory is given back. It ends with this one, and holds the lock until it has ended."""
    command = runner.command(_job(nodes, run, again))
    process = subprocess.Popen(
        command.words,
        stdin=subprocess.PIPE,
        pass_fds=(lock,),
        env={**os.environ, **command.variables},
        # a terminal sends Ctrl-C to both: the stage leaves it to this process, which then ends it by SIGTERM
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdin
    try:
        with suppress(BrokenPipeError):  # it has ended, and said why
            process.stdin.write(profiles.frozen(profile) + b"\n")  # by no file: it may hold the password of an address
            process.stdin.flush()
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(max(node.stage.end_seconds for node in nodes))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
    if code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise Stopped(signal.SIGTERM)
    if code < 0 or code == 128 + signal.SIGKILL:
        number = -code if code < 0 else code - 128
        raise UsageError(
            f"{nodes[0].name}: ended by signal {number} ({signal.Signals(number).name}): "
            "out of memory? start the same command again, it goes on where it was"
        )
    if code in _OF_THE_ENGINE and not isinstance(runner, runners.Host):
        raise UsageError(
            f"--runner {runner.name}: it did not start the container (above is why): what it takes more here goes into RUNNER_FLAGS"
        )
    if code:
        raise SystemExit(code)


@contextmanager
def _only_run(folder: Path, shared: bool = False) -> Iterator[int]:
    """Two runs in one folder would spoil each other: the second one is refused, except where both are `shared`. Gives the lock's
    descriptor."""
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another run works there: wait for it or stop it") from None
        yield handle
    finally:
        os.close(handle)
