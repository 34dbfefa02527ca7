"""The command line: the commands in the order of the pipeline, no logic."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from magicoder_repro import __version__, errors, interrupts
from magicoder_repro.commands import benchmarks, cluster, data, pipeline, report
from magicoder_repro.environment import reach_loopback_directly
from magicoder_repro.progress import tell
from magicoder_repro.terminal import shown

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Reproduces the Magicoder paper (OSS-Instruct, ICML 2024), stage by stage. `make all` runs everything.",
)


def version() -> None:
    """Print the version."""
    tell(__version__)


_COMMANDS: tuple[Callable[..., None], ...] = (  # in the order of `--help`
    pipeline.run,
    pipeline.plan,
    pipeline.status,
    pipeline.gc,
    pipeline.rehearse,
    cluster.slurm,
    pipeline.stages,
    data.seeds,
    data.decontaminate,
    data.audit,
    benchmarks.prompts,
    benchmarks.fetch,
    benchmarks.rescore,
    benchmarks.score,
    report.compare,
    report.record,
    report.regress,
    benchmarks.agreement,
    report.archive,
    pipeline.selfcheck,
    version,
)
for _command in _COMMANDS:
    app.command()(_command)
for _command in (pipeline.stage, pipeline.look, pipeline.rank):  # what the others start
    app.command(hidden=True)(_command)


def main() -> NoReturn:
    """Runs the command line; problems that a user can mend become one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours show the stage's work
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    reach_loopback_directly()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error, whatever its encoding
    interrupts.install()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except ClickException as error:
        _fail(f"{error.format_message()} (`magicoder COMMAND --help` lists what may be given)", errors.EXIT_USAGE)
    except errors.UsageError as error:
        _fail(str(error), errors.EXIT_USAGE)
    except errors.BadResultError as error:
        _fail(str(error), errors.EXIT_BAD_RESULT)
    except errors.Stopped as stop:
        _stopped(stop.code)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads what is still to be flushed
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        _unless_stopped()
        if (line := errors.of_the_input(error)) is not None:
            _fail(line, errors.EXIT_USAGE)
        print(shown(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)
        sys.exit(1)
    sys.exit(code)


def _stopped(code: int) -> NoReturn:
    print("stopped: the same command goes on where it was", file=sys.stderr, flush=True)
    interrupts.end(code)


def _unless_stopped() -> None:
    """An error after a signal is what became of the signal's own."""
    if (number := interrupts.came()) is not None:
        _stopped(errors.Stopped(number).code)


def _fail(line: str, code: int) -> NoReturn:
    _unless_stopped()
    line = " ".join(line.split())
    print(f"error: {shown(line if len(line) <= _LONGEST else line[:_LONGEST] + ' ...')}", file=sys.stderr)
    sys.exit(code)


_LONGEST = 4000  # characters of an error


if __name__ == "__main__":
    main()
