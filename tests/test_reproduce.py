"""The documentation cannot go stale: every command on its pages is checked, and the cheap ones are run.

A command must exist and its options parse; the profile it names must validate and be planned. What no check knows fails.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer._click.exceptions import ClickException

from magicoder_repro import benchmarks, cli, profile
from magicoder_repro.errors import UsageError
from magicoder_repro.pipeline import run as pipeline
from magicoder_repro.pipeline.store import Run
from magicoder_repro.report import noise, reference, statistics

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = ("README.md", "REPRODUCE.md", "artifact/ae.tex")
NEEDS = "report.comparable needs everything here: "  # the one line with which a plan may end where something is missing
MAGICODER = ".envs/core/bin/magicoder"


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a Markdown page, in order: code (fenced, or indented after an empty line) and prose."""
    part: list[str] = []
    code, fence, empty = False, "", True
    for line in text.splitlines():
        if fence or re.match(r"\s*(```|~~~)", line):
            closing = line.strip() == fence
            if not fence or closing:
                yield code, "\n".join(part)
                part, code, fence = [], not closing, "" if closing else line.strip()[:3]
                continue
        elif line.strip() and line.startswith("    ") != code and (code or empty):
            yield code, "\n".join(part)
            part, code = [], not code
        part.append(line)
        empty = not line.strip()
    yield code, "\n".join(part)


def _lines(block: str) -> Iterator[str]:
    """The commands of a block of code: without comments, continued lines as one."""
    for line in block.replace("\\\n", " ").splitlines():
        command = re.sub(r"(^|\s)#.*", "", line).strip()
        if command:
            yield " ".join(command.split())


def _settings(block: str) -> dict[str, Any] | None:
    """A block that is a part of a profile."""
    try:
        content = yaml.safe_load(block)
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict) else None


@cache
def commands(page: str) -> tuple[str, ...]:
    """The commands of a page, in order, each once. In prose and tables: what stands in backticks and begins as ours do."""
    text = (ROOT / page).read_text()
    found: list[str] = []
    if page.endswith(".tex"):
        for block in re.findall(r"\\begin\{verbatim\}\n(.*?)\\end\{verbatim\}", text, re.DOTALL):
            found += _lines(block)
    else:
        for code, block in _blocks(text):
            if code and _settings(block) is None:
                found += _lines(block)
            elif not code:
                spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block))
                found += [span for span in spans if re.match(r"(make|magicoder|docker) ", span)]
    return tuple(dict.fromkeys(found))


ALL = {(page, command): None for page in PAGES for command in commands(page)}


def _parts(command: str) -> list[str]:
    return [part.replace(MAGICODER, "magicoder") for part in command.split(" && ")]


@cache
def _targets() -> set[str]:
    named = re.findall(r"^([a-z][a-z0-9 -]*):(?!=)", MAKEFILE, re.MULTILINE)
    (stages,) = re.findall(r"^STAGES := (.*)$", MAKEFILE, re.MULTILINE)
    return {target for line in (*named, stages) for target in line.split()}


def _make(words: list[str], runs: Path) -> None:
    for word in words:
        name, given, value = word.partition("=")
        if given:
            assert name in re.findall(r"^(\w+) *\?=", MAKEFILE, re.MULTILINE), f"the Makefile reads no {name}"
            if name == "PROFILE" and not value.startswith("path/to/"):
                _planned(value, runs)
        elif environment := re.fullmatch(r"\.envs/([\w.-]+)/\.ready", word):
            assert (ROOT / "docker" / environment[1] / "requirements.lock").is_file()
        else:
            assert word in _targets(), f"the Makefile has no target {word}"


def _magicoder(words: list[str], runs: Path) -> None:
    group: Any = typer.main.get_command(cli.app)
    if words[0] in ("--help", "COMMAND"):
        return
    command = group.commands.get(words[0])
    assert command, f"magicoder has no command {words[0]}"
    if len(words) == 1 or "[" in " ".join(words):  # it is spoken of, or shown in general
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= options
        return
    try:
        values = command.make_context(words[0], words[1:]).params
    except ClickException as error:
        pytest.fail(error.format_message())
    chosen = values.get("benchmark") or values.get("name")
    if chosen is not None and chosen.islower():
        assert chosen in benchmarks.NAMES or any(key.startswith(chosen) for key in _archives()), chosen
    if isinstance(values.get("profile"), str) and values["profile"].islower():
        _planned(values["profile"], runs)


def _archives() -> set[str]:
    """Names of what profiles say can be fetched."""
    contents = (yaml.safe_load(path.read_text()) for path in (ROOT / "profiles").glob("*.yaml"))
    return {key for content in contents for key in content.get("archives", ())}


def _docker(words: list[str], runs: Path) -> None:
    """An image's commands are those at the head of its Dockerfile."""
    heads = [path.read_text().partition("ARG")[0] for path in (ROOT / "docker").glob("*/Dockerfile")]
    said = [" ".join(head.replace("\\\n#", " ").split()) for head in heads]
    line = shlex.join(["docker", *words]).replace("'", '"')
    assert any(line in head for head in said), f"no Dockerfile says {line}"


def _apt_get(words: list[str], runs: Path) -> None:
    """Packages of the distribution are those that the image of the stages is built with, and what a checkout needs."""
    assert words[0] == "install"
    assert set(words[1:]) <= {"make", *(ROOT / "docker" / "core" / "Dockerfile").read_text().split()}


def _conda(words: list[str], runs: Path) -> None:
    environment = yaml.safe_load((ROOT / "env.yml").read_text())
    assert words in (["env", "create", "-f", "env.yml"], ["activate", environment["name"]])


CHECKS: dict[str, Callable[[list[str], Path], None]] = {
    "make": _make,
    "magicoder": _magicoder,
    "docker": _docker,
    "apt-get": _apt_get,
    "conda": _conda,
}


def check(command: str, runs: Path) -> None:
    for part in _parts(command):
        program, *words = shlex.split(part)
        assert program in CHECKS, f"no check knows {part!r}: write one"
        CHECKS[program](words, runs)


def _planned(name: str, runs: Path) -> None:
    """The profile validates and is planned, or the plan says in one line what is missing here."""
    loaded = profile.load(name)
    try:
        pipeline.show(loaded, Run.of(name, runs, None))
    except UsageError as error:
        assert str(error).startswith(NEEDS) and loaded.report.comparable


@pytest.mark.process
@pytest.mark.parametrize("command", [pytest.param(one[1], id=":".join(one)) for one in ALL])
def test_a_documented_command_exists_and_its_profile_is_planned(command: str, tmp_path: Path) -> None:
    check(command, tmp_path)


@pytest.mark.process
@pytest.mark.parametrize(
    "command",
    [
        "make alll",
        "make all PROFIL=smoke",
        "make all PROFILE=smok",
        "make .envs/evalplus-9/.ready",
        "magicoder scoer humaneval a.jsonl -o b.json",
        "magicoder score humaneval a.jsonl",
        "magicoder score humanevil a.jsonl -o b.json",
        ".envs/core/bin/magicoder plan --profil smoke",
        "magicoder plan --profile smok",
        "magicoder score humaneval SAMPLES [--protocl paper]",
        "docker build -f docker/other/Dockerfile -t x .",
        "apt-get install emacs",
        "conda activate other",
        "make help && curl example.org",
        "pip install magicoder-repro",
    ],
)
def test_a_command_that_is_wrong_or_unknown_fails_the_check(command: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, UsageError)):
        check(command, tmp_path)


def test_commands_are_found_in_blocks_tables_and_prose() -> None:
    assert {page for page, _ in ALL} == set(PAGES)
    blocks = list(
        _blocks("a `make x`\nb\n\n    make y  # why\n    z \\\n      w\n\nc\n\n```sh\nq\n```\n- d\n\n      make v\n")
    )
    code = [line for is_code, block in blocks if is_code for line in _lines(block)]
    assert code == ["make y", "z w", "q", "make v"]
    assert "make all PROFILE=released-one" in commands("REPRODUCE.md")  # of a table and a block
    assert f"{MAGICODER} compare result.json other.json" in commands("README.md")
    assert "make sft PROFILE=paper-cl" in commands("REPRODUCE.md")  # of the table only


# What is run: its command -> what its answer holds. Files that a command reads are made in an empty folder.
RUN = {
    f"{MAGICODER} version": "0.",
    f"{MAGICODER} stages": "oss-instruct",
    f"{MAGICODER} plan --profile smoke": "score/magicoder/humaneval",
    f"{MAGICODER} status --profile smoke": "corpus: ",
    f"{MAGICODER} prompts humaneval -o prompts.jsonl": "",
    f"{MAGICODER} seeds documents.jsonl --language java -o seeds/": "",
    f"{MAGICODER} decontaminate records.jsonl -o clean/": "",
    f"{MAGICODER} audit records.jsonl --expect 1": "records",
    "make help": "make archive",
    "make plan": "nodes are up to date",
    "make plan PROFILE=released-one": "score/magicoder-s-ds/mbpp",
}
_FILES = {
    "documents.jsonl": [{"content": "class A {\n  int a;\n}\n"}],
    "records.jsonl": [{"problem": "Add two numbers.", "solution": "a + b"}],
}


@pytest.mark.process
@pytest.mark.parametrize("command", RUN)
def test_a_cheap_command_runs(command: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert command in commands("REPRODUCE.md")
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    if "prompts" in command:  # of the real tasks
        variables["MAGICODER_DATA"] = str(request.getfixturevalue("data"))
    for name, rows in _FILES.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    ours = [sys.executable, "-m", "magicoder_repro.cli"]
    program, *words = shlex.split(command)
    if program == "make":  # environments are not built anew
        ready = ["-o", ".envs/core/.ready", "-o", ".envs/evalplus-0.2.0/.ready"]
        words = ["make", *ready, f"MAGICODER={shlex.join(ours)}", *words]
    else:
        words = [*ours, *words]
    done = subprocess.run(
        words,
        cwd=ROOT if program == "make" else tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=180,
    )
    missing = f"error: {NEEDS}" in done.stderr and "PROFILE=" in command
    assert done.returncode == 0 or missing, done.stderr
    assert RUN[command] in done.stdout
    if program != "make" and "-o" in words:
        made = tmp_path / words[-1]
        assert (made / "manifest.json" if made.is_dir() else made).stat().st_size


def test_the_readmes_profile_is_a_profile(tmp_path: Path) -> None:
    shown = [one for code, block in _blocks((ROOT / "README.md").read_text()) if code and (one := _settings(block))]
    assert len(shown) == 1
    whole = yaml.safe_load((ROOT / "profiles" / "oss-instruct-open.yaml").read_text()) | shown[0]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(whole))
    assert "somebody" in profile.load(str(tmp_path / "mine.yaml")).models


def test_the_profile_from_seeds_on_is_the_papers_but_for_the_data() -> None:
    paper, ours = (
        profile.load(name).model_dump(exclude={"name", "description"}) for name in ("paper-cl", "oss-instruct-open")
    )
    for settings in (paper, ours):
        for model in settings["models"].values():
            del model["label"]
    assert {key for key in paper if paper[key] != ours[key]} == {"corpus", "seeds", "teacher", "data", "report"}
    assert paper["corpus"] is paper["seeds"] is paper["teacher"] is None
    assert ours["data"]["evol-instruct"] == paper["data"]["evol-instruct"]
    assert paper["report"]["comparable"] and not ours["report"]["comparable"]  # the teacher is not the paper's
    assert all(f"`{one['revision']}`" in (ROOT / "REPRODUCE.md").read_text() for one in paper["data"].values())
    assert profile.load("paper-ds").model_dump()["data"] == paper["data"]


def test_one_released_model_is_the_papers_but_for_its_batches() -> None:
    one, four = profile.load("released-one"), profile.load("released")
    assert list(one.models) == ["magicoder-s-ds"] and one.models["magicoder-s-ds"] == four.models["magicoder-s-ds"]
    for name, setting in one.evaluate.items():
        assert setting.model_dump(exclude={"batch"}) == four.evaluate[name].model_dump(exclude={"batch"})


def test_the_appendix_expects_the_papers_numbers() -> None:
    text, tex = ((ROOT / page).read_text() for page in PAGES[1:])
    with (reference.REFERENCE / reference.CELLS).open() as file:
        cells = {(row["table"], row["row"], row["metric"]): row["value"] for row in csv.DictReader(file)}
    models = [(table, f"Magicoder{s}-{base}") for table, base in (("1", "CL-7B"), ("4", "DS-6.7B")) for s in ("", "S")]
    metrics = ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus")
    plus: list[list[str]] = []
    for table, model in models:
        one, more, two, most = (cells[table, model, metric] for metric in metrics)
        assert f"{model.rpartition('-')[0]} {one}/{more}, {two}/{most}" in text
        plus.append([more, most])
    evals, mbpps = (", ".join(one) for one in zip(*plus, strict=True))
    assert f"HumanEval+ {evals}; MBPP+ {mbpps}" in tex


def test_the_appendix_states_the_measured_noise_and_power() -> None:
    text, tex = (" ".join((ROOT / page).read_text().split()) for page in PAGES[1:])
    power = [round(100 * statistics.mcnemar_power(164, 0.05, share)) for share in (0.06, 0.1, 0.2)]
    said = "{}, {} and {}".format(*power)
    assert f"{said} % of cases when 6, 10 and 20 %" in text and f"{said}\\,\\% of cases" in tex
    for one in yaml.safe_load(noise.RECORDED.read_text()):
        if one["tasks"]:
            assert f"{one['tasks']} of {one['of']}" in text and f"{one['tasks']} of {one['of']}" in tex


def test_the_appendix_names_every_claim_and_profile() -> None:
    text = (ROOT / "REPRODUCE.md").read_text()
    for claim in yaml.safe_load((reference.REFERENCE / reference.CLAIMS).read_text()):
        assert f"`{claim['id']}`" in text
    for name in set(profile.known()) - {"tiny"}:
        assert re.search(rf"`{name}`|[ =]{name}\b", text), name


def test_the_latex_appendix_is_whole_and_has_no_command_of_its_own() -> None:
    tex = (ROOT / "artifact" / "ae.tex").read_text()
    assert set(commands("artifact/ae.tex")) <= set(commands("REPRODUCE.md"))
    text = re.sub(r"\\begin\{verbatim\}.*?\\end\{verbatim\}", "", tex, flags=re.DOTALL)
    text = re.sub(r"(?<!\\)%.*", "", text)
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened and text.count("{") == text.count("}") and text.count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[_#]", text), "a sign that LaTeX wants a backslash before"
    row = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    assert {line.count("&") for line in row.splitlines() if line.endswith(r"\\")} == {2}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_folder_of_a_machine(page: str) -> None:
    assert not re.search(r"(?<![\w.])/(work|home|root|Users)/", (ROOT / page).read_text())
