"""Back end `container`: docker, podman or apptainer, with the image that MAGICODER_SANDBOX_IMAGE names."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import secrets
import subprocess
import tarfile

from magicoder_repro.errors import UsageError
from magicoder_repro.sandbox import supervise, view
from magicoder_repro.sandbox.model import Limits, Outcome, Program, Watch

IMAGE = "MAGICODER_SANDBOX_IMAGE"
_ASKS = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Host.Arch}}"),
    "apptainer": ("version",),
}
_STDIN = ".stdin"
# files and stdin travel as one archive, so that nothing of the host has to be mounted writable
_ENTRY = (
    f"umask 0; mkdir -p {view.SCRATCH} && tar -xf - -C {view.BOX} && exec 3<{view.BOX}/{_STDIN} "
    f"&& rm {view.BOX}/{_STDIN} && cd {view.BOX} && umask 022 "
    f'&& {{ command -v timeout >/dev/null && set -- timeout -s KILL "$0" "$@"; exec "$@" <&3 3<&-; }}'
)
_SPARE_SECONDS = 5  # after which a container ends by itself: killing us kills its client, not the container


@functools.cache
def engine() -> str | None:
    """The first engine that answers, or None."""
    for name, question in _ASKS.items():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run([name, *question], capture_output=True, timeout=20).returncode == 0:
                return name
    return None


class Container:
    """A container for each program."""

    name = "container"

    def run(self, program: Program, seen: Watch = supervise.unwatched) -> Outcome:
        """Runs the program in a container of its own."""
        image, found = os.environ.get(IMAGE), engine() if os.environ.get(IMAGE) else None
        if not image or found is None:
            raise UsageError(f"sandbox: container: start docker, podman or apptainer and set {IMAGE}")
        name = f"magicoder-{secrets.token_hex(8)}"
        with contextlib.ExitStack() as stack:
            job = supervise.Job(
                backend="container",
                start=lambda: supervise.Command(
                    argv=command(found, image, name, program),
                    stdin=view.memory_file(stack, archive(program)),
                    environment={
                        key: os.environ[key]
                        for key in ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST")
                        if key in os.environ
                    },
                ),
                stop=functools.partial(_stop, found, name),
            )
            return supervise.watch(job, program.limits, seen)


def command(engine: str, image: str, name: str, program: Program) -> list[str]:
    """The command line; the archive comes on its stdin."""
    limits = program.limits
    inner = ["/bin/sh", "-c", _ENTRY, str(math.ceil(limits.wall_seconds) + _SPARE_SECONDS), *program.argv]
    shown = [str(path) for path in program.readonly]
    variables = [
        word for key, value in view.environment().items() if key != "PATH" for word in ("--env", f"{key}={value}")
    ]
    if engine == "apptainer":
        words = ["apptainer", "exec", "--containall", "--cleanenv", "--net", "--network", "none", "--no-privs"]
        words += ["--memory", f"{limits.memory_mb}M", "--pids-limit", str(limits.processes), "--scratch", view.BOX]
        words += [word for path in shown for word in ("--bind", f"{path}:{path}:ro")]
        return [*words, *variables, image, *inner]
    size = limits.scratch_mb << 20
    words = [engine, "run", "--rm", "--interactive", "--name", name, "--network", "none", "--read-only"]
    words += ["--tmpfs", f"{view.BOX}:rw,exec,nosuid,nodev,size={size},mode=1777"]
    words += ["--tmpfs", f"/tmp:rw,exec,nosuid,nodev,size={size},mode=1777", "--shm-size", str(size)]
    words += ["--memory", f"{limits.memory_mb}m", "--memory-swap", f"{limits.memory_mb}m"]
    words += ["--pids-limit", str(limits.processes), "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += ["--user", f"{view.NOBODY}:{view.NOBODY}", "--workdir", view.BOX, "--pull", "never"]
    words += [word for pair in _ulimits(limits) for word in ("--ulimit", pair)]
    words += [word for path in shown for word in ("--volume", f"{path}:{path}:ro")]
    return [*words, *variables, image, *inner]


def archive(program: Program) -> bytes:
    """The files and the stdin as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {**program.files, _STDIN: program.stdin}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o777
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _ulimits(limits: Limits) -> list[str]:
    cpu = math.ceil(limits.cpu_seconds) + 1
    return [f"cpu={cpu}:{cpu}", f"nofile={limits.open_files}", f"fsize={limits.file_mb << 20}", "core=0"]


def _stop(engine: str, name: str) -> None:
    if engine != "apptainer":
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([engine, "rm", "--force", name], capture_output=True, timeout=20)
