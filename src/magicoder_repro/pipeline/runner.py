"""Where the process that makes nodes runs: on this host, or in a container of its environment's image.

In a container it sees the checkout (read-only), the data, and the folders that it writes to, all by the paths that they have here; it
is the caller's user, has no capability, a read-only root, and a network only where its place says so. It ends when its standard
input closes, which it does however this process ends.
"""

from __future__ import annotations

import functools
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from magicoder_repro import __version__, environment
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.errors import UsageError, nearest
from magicoder_repro.pipeline.place import Network, Place, gpus_here
from magicoder_repro.progress import say

_IN_IMAGE = Path("/magicoder-repro")
_CACHE = "/cache"
_SHARED_MEMORY = "16g"  # of processes that train or serve together; memory is taken as it is used
_PROCESSES = 32768
_SECCOMP = environment.ROOT / "docker" / "seccomp.json"
_OF_APPTAINER = "APPTAINERENV_"
_OF_THE_WORK = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MAGICODER_LOG", "NO_COLOR")


@dataclass(frozen=True)
class Job:
    """`arguments`: of the command `magicoder`. `writes`: folders. `reads`: more that it reads, where it is there. `tied`: it ends when
    this process does."""

    place: Place
    arguments: Sequence[str]
    writes: Sequence[Path] = ()
    reads: Sequence[Path] = ()
    tied: bool = True


@dataclass(frozen=True)
class Command:
    """`variables`: what its environment has more than this process's."""

    words: list[str]
    variables: dict[str, str] = field(default_factory=dict)

    def shown(self) -> str:
        """As one line for a shell. What a variable of this process holds, which may be secret, is taken from it there too."""
        return " ".join([*(f"{name}={self._shown(name)}" for name in self.variables), shlex.join(self.words)])

    def _shown(self, name: str) -> str:
        own = name.removeprefix(_OF_APPTAINER)
        return f'"${own}"' if own in os.environ else shlex.quote(self.variables[name])


class Runner(Protocol):
    name: ClassVar[str]

    def command(self, job: Job) -> Command:
        """The command of a job; a UsageError where its image is not here."""

    def image(self, name: str) -> str | None:
        """The image of an environment with its digest; None on a host."""


class Host:
    """The environments under `.envs/`."""

    name: ClassVar[str] = "host"

    def command(self, job: Job) -> Command:
        # Threads that wait for each other sleep: spinning, they take the core from one that works as soon as anything else runs here.
        waiting = {} if "OMP_WAIT_POLICY" in os.environ else {"OMP_WAIT_POLICY": "passive"}
        words = [sys.executable, "-m", "magicoder_repro.cli", *job.arguments]
        return Command([*words, "--parent", str(os.getpid())] if job.tied else words, waiting)

    def image(self, name: str) -> str | None:
        return None


class _Container:
    """What the three have in common."""

    name: ClassVar[str]

    def image(self, name: str) -> str:
        raise NotImplementedError

    def _inside(self, job: Job) -> list[str]:
        words = [str(_IN_IMAGE / ".envs/core/bin/python"), "-m", "magicoder_repro.cli", *job.arguments]
        return [*words, "--attended"] if job.tied else words

    def _variables(self, job: Job) -> dict[str, str]:
        """Those whose values are no secret."""
        found = {
            "HOME": "/tmp",
            "MAGICODER_CACHE": _CACHE,
            "MAGICODER_COMMIT": environment.git_commit() or "",
            "MAGICODER_DATA": str(data_folder().resolve()),
            "MAGICODER_ENVS": str(_IN_IMAGE / ".envs"),
            "MAGICODER_IMAGE": self.image(job.place.environment),
            "OMP_WAIT_POLICY": "passive",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(environment.ROOT / "src"),
        }
        if job.place.hub:
            found["HF_HOME"] = str(_hub_cache().resolve())
        return found

    def _given(self, job: Job) -> list[str]:
        """Those of this process's that it is given by their names."""
        return [name for name in (*_OF_THE_WORK, *job.place.variables) if name in os.environ]

    def _mounts(self, job: Job) -> dict[str, tuple[str, bool]]:
        """Of each path inside the one here, and whether it is read-only."""
        cache = environment.cache() / "images" / job.place.environment
        cache.mkdir(parents=True, exist_ok=True)
        found: dict[str, tuple[str, bool]] = {}
        for path in (environment.ROOT, data_folder(), *job.reads):
            if path.exists():
                for name in (str(path.resolve()), os.path.abspath(path)):  # noqa: PTH100 (as it is called, links and all)
                    found[name] = (name, True)
        tables = [Path(os.environ[name]) for name in self._given(job) if name == "TIKTOKEN_CACHE_DIR"]
        for path in (*job.writes, *([_hub_cache()] if job.place.hub else []), *tables):
            path.mkdir(parents=True, exist_ok=True)
            found[str(path.resolve())] = (str(path.resolve()), False)
        return {**found, _CACHE: (str(cache.resolve()), False)}


class _Engine(_Container):
    """docker and podman, whose command lines are nearly one."""

    seccomp: ClassVar[Sequence[str]]
    """What a container that makes namespaces for each program needs."""
    gpus: ClassVar[Sequence[str]]
    host: ClassVar[str]
    """Before the names of images that were built here."""
    networks: ClassVar[Mapping[Network, str]] = {"none": "none", "machine": "host"}

    def command(self, job: Job) -> Command:
        words = [self.name, "run", "--rm", "--interactive", "--init", "--read-only", "--cap-drop", "ALL"]
        words += ["--security-opt", "no-new-privileges", "--user", f"{os.getuid()}:{os.getgid()}"]
        words += ["--workdir", str(environment.ROOT)]
        if network := self.networks.get(job.place.network):
            words += ["--network", network]
        if job.place.sandbox:
            words += self.seccomp
            if os.getuid() == 0:
                words += ["--cap-add", "SETFCAP"]  # root may show itself to a user namespace only with it
        words += ["--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777", "--shm-size", _SHARED_MEMORY]
        words += ["--pids-limit", str(_PROCESSES), "--memory", str(_memory())]
        if (cores := len(os.sched_getaffinity(0))) != os.cpu_count():
            words += ["--cpus", str(cores)]
        for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            _, most = resource.getrlimit(kind)  # without it the engine sets more than some machines let it
            limit = min(most, _PROCESSES) if most >= 0 else _PROCESSES
            words += ["--ulimit", f"{name}={limit}:{limit}"]
        if job.place.gpu and gpus_here():
            words += self.gpus
        for target, (source, read_only) in self._mounts(job).items():
            words += ["--mount", _mount(source, target) + (",readonly" if read_only else "")]
        for name, value in self._variables(job).items():
            words += ["--env", f"{name}={value}"]
        for name in self._given(job):
            words += ["--env", name]
        words += shlex.split(os.environ.get("RUNNER_FLAGS", ""))
        inside = self._inside(job)
        return Command([*words, "--entrypoint", inside[0], self._name(job.place.environment), *inside[1:]])

    def _name(self, name: str) -> str:
        return f"{os.environ.get('MAGICODER_IMAGES') or self.host + 'magicoder-repro'}/{name}:{__version__}"

    @functools.lru_cache  # noqa: B019 (a runner lives as long as the command)
    def image(self, name: str) -> str:
        image = self._name(name)
        words = [self.name, "image", "inspect", "--format", "{{.Id}}", image]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise UsageError(f"--runner {self.name}: {self.name} does not start here ({error.strerror})") from None
        if done.returncode == 0:
            return f"{image} (id sha256:{done.stdout.strip().removeprefix('sha256:')})"
        said = " ".join(done.stderr.split())
        if re.search(r"no such image|not known|not found", said, re.IGNORECASE):
            mend = f"`make images ENGINE={self.name} ENVS={name}` builds it"
            raise UsageError(f"--runner {self.name}: the image {image} is not here: {mend}")
        raise UsageError(f"--runner {self.name}: {self.name} does not work here: {said[:400]}")


class Docker(_Engine):
    name: ClassVar[str] = "docker"
    # Docker's own filter lets nobody make namespaces, and it hides parts of /proc, which a new /proc must not show more than.
    seccomp: ClassVar[Sequence[str]] = [
        *("--security-opt", f"seccomp={_SECCOMP}"),
        *("--security-opt", "systempaths=unconfined"),
        *("--security-opt", "apparmor=unconfined"),
    ]
    gpus: ClassVar[Sequence[str]] = ["--gpus", "all"]
    host: ClassVar[str] = ""


class Podman(_Engine):
    name: ClassVar[str] = "podman"
    seccomp: ClassVar[Sequence[str]] = ["--security-opt", "unmask=/proc/*"]
    gpus: ClassVar[Sequence[str]] = ["--device", "nvidia.com/gpu=all"]
    host: ClassVar[str] = "localhost/"

    def command(self, job: Job) -> Command:
        found = super().command(job)
        if os.getuid() != 0:  # rootless: the caller is root in there, unless it keeps its number
            found.words[2:2] = ["--userns", "keep-id"]
        return found


class Apptainer(_Container):
    """Images are files: MAGICODER_IMAGES/ENV.sif (`apptainer build ENV.sif docker-daemon:...`, see docker/README.md)."""

    name: ClassVar[str] = "apptainer"

    def __init__(self) -> None:
        self._work = tempfile.TemporaryDirectory(prefix="magicoder-")  # what it keeps of /tmp; gone with this process

    def command(self, job: Job) -> Command:
        words = ["apptainer", "exec", "--containall", "--no-privs", "--workdir", self._work.name]
        words += ["--pwd", str(environment.ROOT)]
        if job.place.network == "none":
            words += ["--net", "--network", "none"]
        if job.place.gpu and gpus_here():
            words.append("--nv")
        for target, (source, read_only) in self._mounts(job).items():
            words += ["--mount", _mount(source, target) + (",ro" if read_only else "")]
        for name, value in self._variables(job).items():
            words += ["--env", f"{name}={value}"]
        given = {f"{_OF_APPTAINER}{name}": os.environ[name] for name in self._given(job)}
        words += shlex.split(os.environ.get("RUNNER_FLAGS", ""))
        return Command([*words, str(self._file(job.place.environment)), *self._inside(job)], given)

    def _file(self, name: str) -> Path:
        return Path(os.environ.get("MAGICODER_IMAGES") or environment.ROOT / ".images") / f"{name}.sif"

    @functools.lru_cache  # noqa: B019 (a runner lives as long as the command)
    def image(self, name: str) -> str:
        if shutil.which("apptainer") is None:
            raise UsageError("--runner apptainer: apptainer is not on PATH")
        path = self._file(name)
        if not path.is_file():
            raise UsageError(
                f"--runner apptainer: {path}: no such image: build it (docker/README.md), or set MAGICODER_IMAGES"
            )
        return f"{path.name} (sha256:{environment.file_sha256(path)})"


_RUNNERS: dict[str, type[Docker | Podman | Apptainer | Host]] = {
    one.name: one for one in (Docker, Podman, Apptainer, Host)
}
NAMES = ("auto", *_RUNNERS)


def choose(name: str, wanted: Callable[[], Sequence[str]] = lambda: ("core",)) -> Runner:
    """The runner of that name. `auto`: the first engine that works here and has the images wanted, else the host; it says which."""
    if name not in NAMES:
        raise UsageError(f"--runner {name}: {nearest(name, NAMES)}one of {', '.join(NAMES)}")
    if name != "auto":
        return _RUNNERS[name]()
    images = wanted()
    for kind in (Docker, Podman, Apptainer):
        if shutil.which(kind.name) is None:
            continue
        runner = kind()
        try:
            for image in images:
                runner.image(image)
            command = runner.command(Job(Place(), ["version"], tied=False))
        except UsageError:
            continue
        if (
            subprocess.run(
                command.words, env={**os.environ, **command.variables}, capture_output=True, check=False
            ).returncode
            == 0
        ):
            say(f"runner: {runner.name} ({', '.join(images)})")
            return runner
    say("runner: host (no container engine here that has our images: `make images` builds them)")
    return Host()


def _mount(source: str, target: str) -> str:
    for path in (source, target):
        if set(path) & set(',"\n'):
            raise UsageError(f"{path}: a container engine takes no path with a comma or a quotation mark: move it")
    return f"type=bind,source={source},target={target}"


def _hub_cache() -> Path:
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")


def _memory() -> int:
    """Bytes: all but a tenth of the machine's."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10


def paths(config: object) -> Iterable[Path]:
    """The files and folders of this machine that a config names."""
    if isinstance(config, Mapping):
        for value in config.values():
            yield from paths(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from paths(value)
    elif isinstance(config, str) and len(config) < 4096 and "\0" not in config:
        path = environment.ROOT / os.path.expanduser(config)  # noqa: PTH111 (no error where there is no such user)
        if "/" in config and len(path.parts) > 1 and os.path.exists(path):  # noqa: PTH110 (Path raises for a name too long)
            yield path
