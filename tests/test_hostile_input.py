"""Every reader of something from outside gives its value or one line (UsageError), whatever bytes or types it meets."""

from __future__ import annotations

import copy
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from magicoder_repro import artifact, benchmarks, outputs, records
from magicoder_repro import profile as profiles
from magicoder_repro.benchmarks import base
from magicoder_repro.data import benchmark_texts, decontaminate, seeds
from magicoder_repro.environment import file_sha256
from magicoder_repro.errors import UsageError
from magicoder_repro.report import compare as recorded
from magicoder_repro.report import gate, regress
from magicoder_repro.report.recorded import side
from magicoder_repro.report.rows import Row
from magicoder_repro.score import command, run, stage
from magicoder_repro.score import compare as comparison

ROOT = Path(__file__).resolve().parents[1]
fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
DEEP = b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"
_odd_text = st.one_of(
    st.text(st.characters(), max_size=12),
    st.sampled_from(["", "\0", "\ud800", "\x1b[31m", "../..", "/etc/passwd", "a" * 300]),
)
_leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**4000, -1, 1e400, float("nan")]),
    st.floats(),
    _odd_text,
)
_value = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_text, inner, max_size=3), max_leaves=6
)


def _rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """JSONL of objects that have each of `fields` or not, with a right or any value, among lines of anything."""
    row = st.fixed_dictionaries({}, optional={name: st.one_of(right, _value) for name, right in fields.items()})
    line = st.one_of(
        row.map(lambda found: json.dumps(found).encode()),
        _value.map(lambda found: json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass")),
        st.binary(max_size=20),
        st.sampled_from(
            [b"\xef\xbb\xbf{}", b"", b'{"a": 1}\r', DEEP, b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe{\0}\0"]
        ),
    )
    return st.lists(st.one_of(row.map(lambda found: json.dumps(found).encode()), line), max_size=4).map(b"\n".join)


@contextmanager
def one_line() -> Iterator[None]:
    """Lets a UsageError pass whose message is short and says something."""
    try:
        yield
    except UsageError as error:
        assert 0 < len(str(error)) < 5000, len(str(error))


@fuzzed
@given(content=st.one_of(st.binary(), _rows(a=_leaf), _value.map(lambda found: json.dumps(found).encode())))
@example(content=DEEP)
@example(content=b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}")
def test_json_and_jsonl(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with one_line():
        for record in records.read_jsonl(path, ("a",)):
            assert records.loads(records.dumps(record)).keys() == record.keys()
    with one_line():
        records.dumps(records.read_json(path))
    with one_line():
        assert all(isinstance(row["a"], str) for row in records.read_jsonl(path, texts=("a",)))


@fuzzed
@given(rows=st.lists(st.dictionaries(_odd_text, _leaf, max_size=3), max_size=4), data=st.data())
def test_a_damaged_journal_keeps_what_stands_before_the_damage(
    rows: list[Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "journal.jsonl"
    path.unlink(missing_ok=True)
    with records.Journal(path, "job 1") as journal:
        for row in rows:
            journal.add(row)
    assert list(map(records.dumps, records.Journal.read(path, "job 1"))) == list(map(records.dumps, rows))
    assert records.Journal.read(path, "job 2") == []
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content)))
    path.write_bytes(
        content[:at] + data.draw(st.binary(max_size=3)) + content[data.draw(st.integers(at, len(content))) :]
    )
    with records.Journal(path, "job 1") as journal:
        kept = [records.dumps(row) for row in journal.rows]
        assert kept == [records.dumps(row) for row in rows][: len(kept)]
        journal.add({"new": 1})
    assert len(records.Journal.read(path, "job 1")) == len(kept) + 1


def test_text_that_utf8_cannot_hold_is_written_as_json_that_everybody_reads(tmp_path: Path) -> None:
    records.write_jsonl(tmp_path / "a.jsonl", [{"a": "\ud800é"}, {"a": "é"}])
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == ['{"a": "\\ud800\\u00e9"}', '{"a": "é"}']
    assert [row["a"] for row in records.read_jsonl(tmp_path / "a.jsonl")] == ["\ud800é", "é"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "absent", "loop", "long"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x" if kind != "long" else tmp_path / ("x" * 300)
    make: dict[str, Callable[[], object]] = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "loop": lambda: path.symlink_to(path),
    }
    make.get(kind, lambda: None)()
    for read in (lambda: list(records.read_jsonl(path)), lambda: records.read_json(path)):
        with pytest.raises(OSError if kind == "long" else UsageError, match=r"x: |too long"):
            read()


# Profiles


def _paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before] * bool(before) + [path for key, item in items for path in _paths(item, (*before, key))]


_TINY = yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text())


@fuzzed
@given(path=st.sampled_from(_paths(_TINY)), value=_value, key=_odd_text)
def test_a_profile_with_anything_anywhere(
    path: tuple[Any, ...], value: Any, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "p.yaml"
    content = copy.deepcopy(_TINY)
    place = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    if isinstance(place, dict) and key:
        place[key] = value
    file.write_text(yaml.safe_dump(content))
    with one_line():
        profiles.load(str(file))


_YAML_WORDS = st.sampled_from(
    ["a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&x ", "*x", "<<: ", "!!int ", "!!timestamp ", "!!bool ", "!!binary ",
     "!!python/object:os.system ", "2024-99-99", "0x", "1:2:3", "|", ">", "'", '"', "%", "---", "...", "\t", "? ", ", ", "~", "#"]
)  # fmt: skip


@fuzzed
@given(
    content=st.one_of(
        st.binary(max_size=60), st.lists(_YAML_WORDS, max_size=25).map(lambda words: "".join(words).encode())
    )
)
@example(content=b"a: " + b"[" * 5000)
@example(content=b"a: " + b"{a: " * 5000)
@example(content=b"a: " + b"9" * 5000)
@example(content=b"a: 0x" + b"f" * 5000)
@example(content=b"teacher: 0x" + b"f" * 5000)
@example(content=b"a: &a [*a]")
@example(content=b"a: 1\na: 2")
@example(content=b"? [a]\n: 1")
@example(content=b"\xef\xbb\xbfa: 1\r\n")
@example(content=b"a: !!timestamp x\n")
@example(content=b"a: 2024-99-99\n")
@example(content=b"a: \0")
def test_a_profile_of_any_bytes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "p.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"p\.yaml: "):
        profiles.load(str(file))


def test_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "p.yaml").write_text("\n".join(lines))
    start = time.monotonic()
    with pytest.raises(UsageError, match="values behind aliases"):
        profiles.load(str(tmp_path / "p.yaml"))
    assert time.monotonic() - start < 5


def test_a_key_that_stands_twice_is_refused_and_merged_keys_are_not(tmp_path: Path) -> None:
    text = (ROOT / "profiles" / "tiny.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text + "\ndescription: again\n")
    with pytest.raises(UsageError, match="'description' stands twice"):
        profiles.load(str(tmp_path / "p.yaml"))
    for name in profiles.known():  # with anchors and merge keys
        profiles.load(name)


@pytest.mark.parametrize("name", ["..", ".", "", "/etc", "../results/smoke", "a/b", "smoke/../..", "a\0", "x" * 300])
def test_the_recorded_run_is_a_plain_name(name: str, tmp_path: Path) -> None:
    content = copy.deepcopy(_TINY)
    content["report"]["recorded"] = name
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=r"report\.recorded"):
        profiles.load(str(tmp_path / "p.yaml"))


def test_the_recorded_run_is_not_followed_out_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "RESULTS", tmp_path / "results")
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "results" / "mine" / "recorded.json").symlink_to(tmp_path / "elsewhere" / "x.json")
    for name in ("link", "mine"):
        with pytest.raises(UsageError, match="leads out of"):
            recorded.results_folder(profiles.Report(recorded=name, comparable=False))


# Samples, results, recorded numbers


class _ReachedError(Exception):
    """The samples were read: what comes next costs seconds."""


@pytest.fixture(scope="module")
def no_judging() -> Iterator[None]:
    def reached(*_: Any, **__: Any) -> Any:
        raise _ReachedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "find_gaps", reached)
        yield


_TASKS = {
    "minibench-humaneval": [task["task_id"] for task in benchmarks.get("minibench-humaneval").load().tasks],
    "minibench-multipl-e": [task["name"] for task in benchmarks.get("minibench-multipl-e").load(subset="js").tasks],
    "minibench-ds1000": [
        str(task["metadata"]["problem_id"]) for task in benchmarks.get("minibench-ds1000").load().tasks
    ],
}


@pytest.mark.sandbox
@pytest.mark.parametrize("benchmark", _TASKS)
@fuzzed
@given(data=st.data(), skip=st.booleans(), language=st.sampled_from([None, "js"]))
def test_samples(
    benchmark: str, data: st.DataObject, skip: bool, language: str | None, no_judging: None, tmp_path_factory: Any
) -> None:
    name = st.sampled_from(_TASKS[benchmark])
    content = data.draw(
        _rows(
            task_id=name,
            problem_id=name,
            completion=_odd_text,
            solution=_odd_text,
            program=_odd_text,
            language=st.just("js"),
        )
    )
    path = tmp_path_factory.getbasetemp() / "samples.jsonl"
    path.write_bytes(content)
    with one_line(), suppress(_ReachedError):
        own = language if benchmark.endswith("multipl-e") else None
        options = command.Options(language=own, skip_unknown=skip, settings=("workers=1",))
        command.score(benchmark, path, path.with_name("o.json"), options)


@fuzzed
@given(
    content=st.one_of(
        _value.map(lambda found: json.dumps(found).encode()),
        st.builds(
            lambda name, samples, more: json.dumps(
                {"tasks": [{"task_id": name, "samples": samples, "language": more}, {"task_id": "b", "samples": []}]}
            ).encode(),
            st.one_of(st.just("a"), _value),
            st.one_of(
                st.lists(st.fixed_dictionaries({"passed": st.booleans(), "passed_plus": _leaf}), max_size=2), _value
            ),
            st.one_of(st.just("js"), _value),
        ),
    )
)
def test_results_that_are_compared(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "result.json"
    path.write_bytes(content)
    with one_line():
        assert comparison.compare(path, path) == 0


_ROW = Row("a.b", "scores", "name", 1.0, "%", 2.0)


@fuzzed
@given(
    found=st.one_of(
        _value,
        st.fixed_dictionaries({"numbers": st.one_of(_value, st.fixed_dictionaries({"a.b": _value}))}),
        st.fixed_dictionaries(
            {"numbers": st.fixed_dictionaries({"a.b": st.fixed_dictionaries({"value": _leaf, "tolerance": _leaf})})}
        ),
    )
)
@example(found={"numbers": {"a.b": {"value": float("nan"), "tolerance": 1}}})
@example(found={"numbers": {"a.b": {"value": 10**400, "tolerance": 1}}})
def test_recorded_numbers(found: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "recorded.json").write_text(json.dumps(found))
    with one_line():
        (row,) = recorded.with_recorded([_ROW], folder)
        assert (row.verdict == "not recorded") == (row.recorded is None)
        if row.recorded is not None and row.allowed is not None:
            assert (row.verdict == "OUT OF TOLERANCE") == (abs(row.value - row.recorded) > row.allowed + 1e-9)
    (folder / "report.json").write_text(json.dumps(found))
    (folder / "manifest.json").write_text(json.dumps(found))
    with one_line():
        recorded.record(folder, folder / "to")


_verdicts = st.fixed_dictionaries(
    {
        "key": st.one_of(st.just("a.b"), _value),
        "benchmark": _odd_text,
        "model": _odd_text,
        "protocol": _odd_text,
        "dataset": st.dictionaries(_odd_text, _odd_text, max_size=2),
        "scorer": _odd_text,
        "sanitized": st.booleans(),
        "tasks": st.one_of(st.dictionaries(_odd_text, st.sampled_from(["P", ".", "Pb", ""]), max_size=3), _value),
    }
)
_number = st.fixed_dictionaries({"key": st.just("a.b.pass@1"), "value": _leaf, "tolerance": _leaf})


@fuzzed
@given(
    found=st.one_of(
        _value,
        st.fixed_dictionaries(
            {"rows": st.one_of(st.lists(_number, max_size=2), _value)},
            optional={"judged": st.one_of(st.lists(_verdicts, max_size=2), _value), "gaps": _value, "device": _value},
        ),
        st.fixed_dictionaries(
            {"numbers": st.dictionaries(_odd_text, _number, max_size=2)},
            optional={"judged": st.lists(_verdicts, max_size=2), "runs": _value},
        ),
        st.fixed_dictionaries({"tasks": _value, "benchmark": _odd_text}),
    ),
    policy=st.sampled_from(["exact", "paired", "tolerance"]),
)
def test_sides_of_a_regression_gate(found: Any, policy: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "side.json"
    path.write_text(json.dumps(found))
    with one_line():
        one = side(path)
        outcome = regress.regress(one, one, profiles.Regress.model_validate({"policy": policy}))
        assert not outcome.of("failed"), outcome
        gate.junit(outcome).decode()
        gate.markdown(outcome, gate.COMMENT_BYTES).encode()


_ASKED = {
    "benchmark": "mbpp",
    "protocol": "paper",
    "language": None,
    "dataset": {},
    "tasks": 1,
    "of": 2,
    "prompt": "p",
    "decoding": {},
}


@fuzzed
@given(found=st.one_of(_value, st.dictionaries(st.one_of(st.just("minibench-mbpp"), _odd_text), _value), st.builds(
    lambda name, changes: {name: {**_ASKED, **changes}},
    st.sampled_from(["mbpp", "../mbpp", "mbpp-js"]),
    st.dictionaries(st.sampled_from([*_ASKED, "gap"]), _value),
)))  # fmt: skip
def test_what_a_generated_folder_says(found: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "benchmarks.json"
    path.write_text(json.dumps(found))
    with one_line():
        assert all("/" not in name for name in stage.read_asked(path))


# The data stages


@fuzzed
@given(content=_rows(content=_odd_text))
def test_documents_that_seeds_are_drawn_from(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "documents.jsonl"
    path.write_bytes(content)
    with one_line():
        rows, _ = seeds.from_documents(path, "python", 1)
        records.write_jsonl(path.with_name("seeds.jsonl"), rows)


@fuzzed
@given(content=_rows(problem=_odd_text, solution=_odd_text, instruction=_odd_text, output=_odd_text))
def test_records_that_are_decontaminated(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, no_data: Path
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "in.jsonl").write_bytes(content)
    with one_line():
        decontaminate.build(artifact.Work(folder / "out", {"records": folder / "in.jsonl"}, {}))
        assert Counter(path.name for path in (folder / "out").glob("*.jsonl")).total() == 2


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAGICODER_DATA", str(tmp_path))
    return tmp_path


@fuzzed
@given(
    name=st.sampled_from(["mbpp/mbpp.jsonl", "gsm8k/gsm8k_test.jsonl", "apps/test.jsonl", "ds1000/ds1000.jsonl"]),
    content=_rows(task_id=st.integers(0, 600), text=_odd_text, code=_odd_text, question=_odd_text, prompt=_odd_text),
)
def test_lists_of_benchmark_texts(name: str, content: bytes, no_data: Path) -> None:
    (no_data / name).parent.mkdir(exist_ok=True)
    (no_data / name).write_bytes(content)
    with one_line():
        decontaminate.Matcher(benchmark_texts.load()).find("a", "b")
    (no_data / name).unlink()


@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp", "ds1000"])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"{}\n", DEEP])
def test_a_benchmark_file_that_is_another(benchmark: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / benchmarks.get(benchmark).protocols["paper"].files[None].path
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"its sha256 is|damaged, or not an archive \([^\n]*\): put it there again$"):
        benchmarks.get(benchmark).load(data=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_benchmark_file_that_can_no_longer_be_read(
    damage: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when its hash was right: a gzip file is read within its own checks."""
    protocols = benchmarks.get("humaneval").protocols
    pinned = protocols["paper"].files[None]
    content = bytearray((data / pinned.path).read_bytes())
    content = content[:-100] if damage == "cut" else content[:5000] + b"\0" * 50 + content[5050:]
    path = tmp_path / pinned.path
    path.parent.mkdir()
    path.write_bytes(content)
    right = replace(pinned, sha256=file_sha256(path))
    monkeypatch.setitem(protocols, "paper", base.Protocol({None: right}))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="damaged"):
        benchmarks.get("humaneval").load(data=tmp_path)


# Results


@pytest.mark.parametrize("kind", ["same", "relative", "symlink", "hard link", "of a folder"])
def test_a_result_never_takes_the_place_of_an_input(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "folder" / "in.jsonl"
    source.parent.mkdir()
    source.write_text("{}\n")
    out = tmp_path / "out"
    monkeypatch.chdir(source.parent)
    if kind == "symlink":
        out.symlink_to(source)
    elif kind == "hard link":
        out.hardlink_to(source)
    else:
        out = {"same": source, "relative": Path("../folder/in.jsonl"), "of a folder": source.parent}[kind]
    with pytest.raises(UsageError, match=r"in\.jsonl"), outputs.claimed(out, [source]):
        pass


def test_a_result_never_takes_the_place_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="a pipe or device"), outputs.claimed(out):
            pass


@pytest.mark.process
def test_a_lock_ends_with_its_process_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with outputs.claimed(out):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with outputs.claimed(out):
                    pass
            except UsageError:
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        outputs._lock(tmp_path / ".out.json.lock")
        os._exit(0)  # without removing the file, as by SIGKILL
    os.waitpid(child, 0)
    assert (tmp_path / ".out.json.lock").exists()
    with outputs.claimed(out):
        pass
    assert not list(tmp_path.iterdir())
