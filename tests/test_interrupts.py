"""A signal ends a command, whatever native code makes of the error that its handler raises."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.process

# The command line with one command more, whose body follows.
_PROGRAM = """
import sys, threading, time
from pathlib import Path
from pydantic import BaseModel, model_validator
from magicoder_repro import cli
from magicoder_repro.errors import UsageError

def wait():
    print("works", flush=True)
    time.sleep(60)

class Model(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def check(cls, value):
        try:
            wait()
        except BaseException as error:
            raise ValueError(str(error)) from None

@cli.app.command()
def work():
    try:
        BODY

sys.argv[1:] = ["work"]
cli.main()
"""
_BODIES = {
    "nothing": "wait()\n    finally: pass",
    "no error": "wait()\n    except BaseException: pass\n    time.sleep(60)",
    "another error": "Model.model_validate({})\n    finally: pass",
    "a thread that waits": "threading.Thread(target=threading.Event().wait).start(); wait()\n    finally: pass",
    "an error of ours": "wait()\n    except BaseException: raise UsageError('x.yaml: field') from None",
}
_CLEANS = "wait()\n    finally: time.sleep(1.5); Path('cleaned').touch()"


def _ended(tmp_path: Path, body: str, number: int, *again: float) -> tuple[int, str]:
    """The exit code and standard error of a command that got a signal while it worked, and more after some seconds each."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.replace("BODY", body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout and process.stdout.readline() == "works\n"
    process.send_signal(number)
    for seconds in again:
        time.sleep(seconds)
        process.send_signal(number)
    _, told = process.communicate(timeout=30)
    return process.returncode, told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("made_of_it", _BODIES)
def test_a_signal_ends_a_command_whatever_is_made_of_its_error(tmp_path: Path, made_of_it: str, number: int) -> None:
    told = "stopped: the same command goes on where it was\n"
    assert _ended(tmp_path, _BODIES[made_of_it], number) == (128 + number, told)


def test_what_cleans_up_is_not_disturbed(tmp_path: Path) -> None:
    code, told = _ended(tmp_path, _CLEANS, signal.SIGINT, 0.1, 0.2)
    assert code == 130 and told.count("\n") == 1 and (tmp_path / "cleaned").exists()


def test_an_interpreter_that_takes_long_to_end_is_not_killed_by_the_alarm(tmp_path: Path) -> None:
    slow = "sys.slow = type('Slow', (), {'__del__': lambda self, sleep=time.sleep: sleep(3.5)})(); "
    assert _ended(tmp_path, f"{slow}wait()\n    finally: pass", signal.SIGTERM)[0] == 143


def test_no_process_outlives_one_that_is_killed_while_it_looks_for_groups() -> None:
    code = "import time; from pathlib import Path; from magicoder_repro.sandbox import cgroups; "
    code += (
        "cgroups.Group = type('Group', (), {'__init__': lambda *_: None, 'counting': lambda self: time.sleep(60)}); "
    )
    code += "cgroups._works(cgroups._Places(Path(), None))"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (started := psutil.Process(process.pid).children()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert psutil.wait_procs(started, timeout=5)[1] == []
