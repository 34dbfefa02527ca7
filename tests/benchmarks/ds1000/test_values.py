"""What leaves a program's process arrives in the test's as it was, and nothing else arrives."""

from __future__ import annotations

import collections
import datetime
import decimal
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from magicoder_repro.benchmarks import ds1000

GUEST = Path(ds1000.__file__).with_name("guest")


class Modules(NamedTuple):
    values: ModuleType
    libraries: ModuleType
    frames: ModuleType


@pytest.fixture(scope="module")
def guest() -> Iterator[Modules]:
    """The guest's modules, which import each other by their bare names."""
    sys.path.insert(0, str(GUEST))
    import frames
    import libraries
    import values

    yield Modules(values, libraries, frames)
    sys.path.remove(str(GUEST))
    for name in ("values", "libraries", "frames"):
        del sys.modules[name]


NAN = float("nan")


def _there_and_back(guest: Modules, value: Any) -> Any:
    writer = guest.values.Writer([np.nan, NAN], (guest.libraries.write, guest.frames.write))
    about = {"value": writer.node(value)}
    message = b"".join(guest.values.parts(about, writer.buffers))
    head = guest.values.HEAD_BYTES
    text, rest = guest.values.lengths(message[:head])
    assert len(message) == head + text + rest
    found, buffers = guest.values.opened(message[head : head + text], message[head + text :])
    read = {**guest.libraries.READ, **guest.frames.READ}
    return guest.values.Reader([np.nan, NAN], read, buffers).value(found["value"])


PLAIN = [
    None, True, 0, -1, 2**70, 1.5, float("inf"), -0.0, 1 + 2j, "text", "\ud800", b"\0\xff", [1, [2]], (1, (2,)), {1, 2},
    frozenset({3, 4}), {"a": [1], (1, 2): {3}}, range(1, 9, 2), collections.deque([1]), collections.OrderedDict(b=1, a=2),
    collections.Counter("aab"), decimal.Decimal("1.10"), datetime.date(2020, 1, 2), datetime.timedelta(1, 2, 3),
    datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC), int, ["", 0, None, False],
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(value: Any, guest: Modules) -> None:
    found = _there_and_back(guest, value)
    assert found == value and type(found) is type(value) and repr(found) == repr(value)


ARRAYS = [
    np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.zeros((0, 3)), np.array(5.0), np.array(["a", "bc"]), np.float32(1.5),
    np.array(["2020-01-01"], "M8[D]"), np.bool_(True), np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.str_("x"),
    np.array([1 + 2j]), np.matrix([[1, 2]]), np.broadcast_to(np.int8(1), (2, 2)), np.datetime64("2020-01-01T00:00", "m"),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=repr)
def test_arrays(value: Any, guest: Modules) -> None:
    found = _there_and_back(guest, value)
    assert type(found) is type(value) and found.dtype == value.dtype and found.shape == value.shape
    np.testing.assert_array_equal(found, value)


def test_masked_arrays_and_arrays_of_objects(guest: Modules) -> None:
    masked = _there_and_back(guest, np.ma.masked_array([1, 2], [True, False]))
    assert masked.mask.tolist() == [True, False] and type(masked) is np.ma.MaskedArray
    objects = _there_and_back(guest, np.array([[1, "a"], [None, [2]]], dtype=object))
    assert objects.dtype == object and objects.tolist() == [[1, "a"], [None, [2]]]


INDEX = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None])
FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None]}), pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame({"a": []}),
    pd.DataFrame([[1, 2.0]], columns=["a", "a"]), pd.DataFrame({"a": range(4)}, index=INDEX),
    pd.DataFrame({"c": pd.Categorical(["a", "b"], ["b", "a"], ordered=True), "i": pd.array([1, None], "Int64")}),
    pd.DataFrame({"t": pd.date_range("2020", periods=2, tz="Europe/Paris"), "d": pd.to_timedelta(["1s", None])}),
    pd.DataFrame({"o": [pd.Timestamp("2020"), 1]}, dtype=object), pd.DataFrame({"o": [pd.Timestamp("2020")] * 2}, dtype=object),
    pd.DataFrame({"p": pd.period_range("2020-01", periods=2, freq="M"), "b": pd.array([True, None], "boolean")}),
    pd.DataFrame({"v": pd.interval_range(0, 2), "s": pd.array(["a", None], "string")}),
    pd.DataFrame({"s": pd.arrays.SparseArray([0, 1, 0])}), pd.DataFrame({0: [1.0]}, columns=pd.RangeIndex(1)),
    pd.DataFrame({"a": [1]}, index=pd.date_range("2020", periods=1, freq="MS", name="n")),
]  # fmt: skip


@pytest.mark.parametrize("value", FRAMES, ids=lambda value: "-".join(map(str, value.dtypes)))
def test_frames(value: pd.DataFrame, guest: Modules) -> None:
    found = _there_and_back(guest, value)
    pd.testing.assert_frame_equal(found, value, check_exact=True, check_column_type="equiv")
    assert [str(kind) for kind in found.dtypes] == [str(kind) for kind in value.dtypes]
    for name in range(value.shape[1]):
        pd.testing.assert_series_equal(_there_and_back(guest, value.iloc[:, name]), value.iloc[:, name])
    pd.testing.assert_index_equal(_there_and_back(guest, value.index), value.index, exact=True)


SCALARS = [
    pd.NaT, pd.NA, pd.Timestamp("2020-01-01", tz="UTC"), pd.Timedelta("1s"), pd.Period("2020-01", "M"), pd.Interval(0, 1),
    pd.offsets.MonthEnd(2), pd.CategoricalDtype(["a"]),
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_single_values_of_pandas(value: Any, guest: Modules) -> None:
    found = _there_and_back(guest, value)
    assert found is value or (found == value and type(found) is type(value))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse_matrices(form: str, kind: str, guest: Modules) -> None:
    value = getattr(scipy.sparse, f"{form}_{kind}")(np.array([[0, 1.5], [2, 0]]))
    found = _there_and_back(guest, value)
    assert type(found) is type(value) and found.nnz == value.nnz and found.dtype == value.dtype
    np.testing.assert_array_equal(found.toarray(), value.toarray())


TENSORS = [
    torch.arange(6).reshape(2, 3).T, torch.tensor(1.5), torch.tensor([True]), torch.zeros(0, 2), torch.tensor([1 + 2j]).conj(),
    torch.tensor([1.5], dtype=torch.bfloat16), torch.nn.Parameter(torch.ones(2)),
]  # fmt: skip


@pytest.mark.parametrize("value", TENSORS, ids=repr)
def test_tensors(value: torch.Tensor, guest: Modules) -> None:
    found = _there_and_back(guest, value)
    assert type(found) is type(value) and found.requires_grad == value.requires_grad
    torch.testing.assert_close(found, value, rtol=0, atol=0)


def test_identity_is_kept(guest: Modules) -> None:
    one: list[Any] = [1]
    loop: list[Any] = [one, one, [1]]
    loop.append(loop)
    found = _there_and_back(guest, loop)
    assert found[0] is found[1] and found[0] is not found[2] and found[3] is found
    again = _there_and_back(guest, [np.nan, NAN, float("nan")])
    assert again[0] is np.nan and again[1] is NAN and again[2] != again[2] and again[2] not in (again[0],)


def test_what_is_lazy_arrives_drawn(guest: Modules) -> None:
    for value in ((x for x in (1, 2)), map(int, "12"), iter([1, 2]), {1: 0, 2: 0}.keys()):
        assert list(_there_and_back(guest, value)) == [1, 2]


def test_a_class_of_the_programs_stays_behind(guest: Modules) -> None:
    yes = {"__eq__": lambda *_: True, "__hash__": None, "__len__": lambda _: 0, "__array_ufunc__": lambda *_: True}
    for base in (int, float, str, list, tuple, dict, np.ndarray):
        kind = type("Mine", (base,), {} if base is np.ndarray else yes)
        value = kind((1,)) if base in (tuple, list, np.ndarray) else kind()
        found = _there_and_back(guest, value)
        assert isinstance(found, base) and type(found).__name__ != "Mine" and type(found) is not base
    assert type(_there_and_back(guest, type("Mine", (), yes)())).__name__ == "Opaque"
    assert type(_there_and_back(guest, [len])[0]).__name__ == "Opaque"


HOSTILE = [
    ["sparse", 0, "csr_matrix", [2, 2], [["array", 1, "<f8", [1], 0], ["array", 2, "<i4", [1], 1], ["array", 3, "<i4", [3], 2]]],
    ["array", 0, "|O", [1], 0], ["array", 0, "<f8", [9], 0], ["array", 0, "<f8", [-1, 0], 0], ["same", 7],
    ["tensor", 0, "load", [1], False, False, 0],
    ["tensor", 0, "torch.float64", [99], False, False, 0], ["nan", 5], ["buffer"], ["subclass", 0, "eval", "1"],
    ["frame", 0, 1, 2, [["values", 3]], True], ["type", 0, "eval"],
    ["series", 0, None, ["categories", ["array", 1, "|i1", [8], 0], None, True], None, 1],
    ["set", 0, [["list", 1, []]]], ["dict", 0, [[1]]], [[]], [], [{}],
]  # fmt: skip


@pytest.mark.parametrize("node", HOSTILE, ids=lambda node: json.dumps(node)[:60])
def test_a_message_that_is_none_is_an_error_and_nothing_worse(node: Any, guest: Modules) -> None:
    buffers = [bytes(8), b"\x7f\0\0\0", b"\0\0\0\0\1\0\0\0\1\0\0\0"]
    read = {**guest.libraries.READ, **guest.frames.READ}
    with pytest.raises(Exception):  # noqa: B017 - of whichever kind: the test takes it for no result
        guest.values.Reader([np.nan], read, buffers).value(node)


def test_messages_changed_at_random(guest: Modules) -> None:
    """Whatever the bytes are, they are read as values or refused."""
    writer = guest.values.Writer([np.nan], (guest.libraries.write, guest.frames.write))
    text = json.dumps(writer.node([FRAMES[0], ARRAYS[0], scipy.sparse.csr_matrix(np.eye(3)), {"a": (1, "b")}]))
    read = {**guest.libraries.READ, **guest.frames.READ}
    chance = random.Random(0)
    for _ in range(300):
        place = chance.randrange(len(text))
        changed = text[:place] + chance.choice('0123456789[]",-ae') + text[place + chance.randrange(3) :]
        try:
            node = json.loads(changed)
            guest.values.Reader([np.nan], read, writer.buffers).value(node)
        except Exception:
            continue
