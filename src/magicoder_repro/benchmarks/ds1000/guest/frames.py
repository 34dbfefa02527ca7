"""Runs inside the sandbox. What `values` is for Python's own types, for those of pandas."""

from __future__ import annotations

import importlib
from typing import Any

from values import Reader, Writer, loaded  # type: ignore[import-not-found]

_PLAIN_INDEXES = ("Index", "Int64Index", "UInt64Index", "Float64Index")


def write(writer: Writer, value: Any) -> Any:
    """The node of a value of pandas, or None."""
    pandas = loaded("pandas")
    if pandas is None or not type(value).__module__.startswith("pandas"):
        return None
    kind = type(value)
    if kind is pandas.DataFrame:
        columns = [_column(writer, value.iloc[:, number]._values, pandas) for number in range(value.shape[1])]
        return [
            "frame",
            *writer.nodes((value.index, value.columns)),
            columns,
            bool(value.flags.allows_duplicate_labels),
        ]
    if kind is pandas.Series:
        parts = [writer.node(value.index), _column(writer, value._values, pandas), writer.node(value.name)]
        return ["series", *parts, bool(value.flags.allows_duplicate_labels)]
    if isinstance(value, pandas.Index):
        return _index(writer, value, pandas)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return ["extension", _column(writer, value, pandas)]
    return _scalar(writer, value, pandas)


def _scalar(writer: Writer, value: Any, pandas: Any) -> Any:
    kind = type(value)
    if value is pandas.NaT or value is pandas.NA:
        return ["missing", "NaT" if value is pandas.NaT else "NA"]
    if kind is pandas.Timestamp:
        found = pandas.DatetimeIndex([value])
        return ["timestamp", writer.node(found), value.fold]
    if kind is pandas.Timedelta:
        return ["duration", writer.node(pandas.TimedeltaIndex([value]))]
    if kind is pandas.Period:
        return ["period", writer.node(value.ordinal), value.freqstr]
    if kind is pandas.Interval:
        return ["interval", *writer.nodes((value.left, value.right)), value.closed]
    if isinstance(value, pandas.tseries.offsets.BaseOffset):
        return ["offset", value.freqstr]
    if isinstance(value, pandas.api.extensions.ExtensionDtype):
        if kind is pandas.CategoricalDtype:
            return ["category", *writer.nodes((value.categories, value.ordered))]
        return ["pandas dtype", str(value)]
    return None


def _zone(zone: Any) -> Any:
    """A time zone as data: None, its name, or minutes east."""
    if zone is None:
        return None
    name = str(zone)
    if name in ("UTC", "utc", "tzutc()"):
        return "UTC"
    if getattr(zone, "zone", None) == name or hasattr(zone, "key"):
        return name
    return int(zone.utcoffset(None).total_seconds()) // 60


def _unit(array: Any) -> str:
    return str(getattr(array, "unit", "ns"))  # pandas 1 has no other


def _column(writer: Writer, array: Any, pandas: Any) -> Any:
    """The node of the array behind a column or an index."""
    arrays = pandas.arrays
    if type(array).__name__ in ("PandasArray", "NumpyExtensionArray"):
        array = array.to_numpy()
    if isinstance(array, arrays.DatetimeArray):
        return ["dates", writer.node(array.asi8), _unit(array), _zone(array.tz)]
    if isinstance(array, arrays.TimedeltaArray):
        return ["durations", writer.node(array.asi8), _unit(array)]
    if isinstance(array, arrays.PeriodArray):
        return ["periods", writer.node(array.asi8), array.freqstr]
    if isinstance(array, arrays.IntervalArray):
        return ["intervals", *writer.nodes((array.left, array.right)), array.closed]
    if isinstance(array, pandas.Categorical):
        return ["categories", writer.node(array.codes), writer.node(array.categories), bool(array.ordered)]
    if isinstance(array, arrays.SparseArray):
        return ["sparse column", writer.node(array.to_dense()), writer.node(array.fill_value), array.kind]
    if isinstance(array, (arrays.IntegerArray, arrays.FloatingArray, arrays.BooleanArray)):
        return ["masked column", *writer.nodes((array._data, array._mask))]
    if isinstance(array, (arrays.StringArray, arrays.ArrowStringArray)):
        return ["strings", writer.node(list(array)), str(array.dtype)]
    return ["values", writer.node(array)]


def _index(writer: Writer, value: Any, pandas: Any) -> Any:
    kind = type(value)
    if kind is pandas.MultiIndex:
        parts = (list(value.levels), list(value.codes), list(value.names))
        return ["multi index", *writer.nodes(parts)]
    name = writer.node(value.name)
    if kind is pandas.RangeIndex:
        return ["range index", *writer.nodes((value.start, value.stop, value.step)), name]
    if kind in (pandas.DatetimeIndex, pandas.TimedeltaIndex):
        return ["time index", _column(writer, value.array, pandas), value.freqstr, name]
    if kind in (pandas.PeriodIndex, pandas.CategoricalIndex, pandas.IntervalIndex):
        return ["array index", _column(writer, value.array, pandas), name]
    if kind.__name__ in _PLAIN_INDEXES:
        return ["index", _column(writer, value.array, pandas), name]
    return ["opaque", kind.__name__]


def _read_column(reader: Reader, node: list[Any]) -> Any:
    pandas = importlib.import_module("pandas")

    tag, *rest = node
    if tag == "values":
        return reader.value(rest[0])
    if tag == "dates":
        found = pandas.DatetimeIndex(reader.value(rest[0]).view(f"M8[{rest[1]}]"))
        zone = rest[2]
        if isinstance(zone, int):
            zone = importlib.import_module("pytz").FixedOffset(zone)
        return found.array if zone is None else found.tz_localize("UTC").tz_convert(zone).array
    if tag == "durations":
        return pandas.TimedeltaIndex(reader.value(rest[0]).view(f"m8[{rest[1]}]")).array
    if tag == "periods":
        return pandas.arrays.PeriodArray(reader.value(rest[0]), dtype=pandas.PeriodDtype(rest[1]))
    if tag == "intervals":
        return pandas.arrays.IntervalArray.from_arrays(*reader.values(rest[:2]), closed=rest[2])
    if tag == "categories":
        codes, categories = reader.values(rest[:2])
        return pandas.Categorical.from_codes(codes, categories=categories, ordered=rest[2])
    if tag == "sparse column":
        return pandas.arrays.SparseArray(reader.value(rest[0]), fill_value=reader.value(rest[1]), kind=rest[2])
    if tag == "masked column":
        data, mask = reader.values(rest)
        arrays = pandas.arrays
        found = {"b": arrays.BooleanArray, "f": arrays.FloatingArray}.get(data.dtype.kind, arrays.IntegerArray)
        return found(data, mask)
    if tag == "strings":
        return pandas.array(reader.value(rest[0]), dtype=rest[1])
    raise ValueError(tag)


def _read_series(reader: Reader, rest: list[Any]) -> Any:
    pandas = importlib.import_module("pandas")

    index = reader.value(rest[0])
    array = _read_column(reader, rest[1])
    found = pandas.Series(array, index=index, dtype=array.dtype, name=reader.value(rest[2]))
    return found if rest[3] else found.set_flags(allows_duplicate_labels=False)


def _read_frame(reader: Reader, rest: list[Any]) -> Any:
    pandas = importlib.import_module("pandas")

    index, columns = reader.values(rest[:2])
    arrays = [_read_column(reader, node) for node in rest[2]]
    series = {
        number: pandas.Series(array, index=index, dtype=array.dtype, copy=False) for number, array in enumerate(arrays)
    }
    found = pandas.DataFrame(series, index=index)
    found.columns = columns
    return found if rest[3] else found.set_flags(allows_duplicate_labels=False)


def _read_index(tag: str) -> Any:
    def read(reader: Reader, rest: list[Any]) -> Any:
        pandas = importlib.import_module("pandas")

        if tag == "multi index":
            levels, codes, names = reader.values(rest)
            return pandas.MultiIndex(levels, codes, names=names, verify_integrity=True)
        if tag == "range index":
            *limits, name = reader.values(rest)
            return pandas.RangeIndex(*limits, name=name)
        array = _read_column(reader, rest[0])
        if tag == "time index":
            dates = isinstance(array, pandas.arrays.DatetimeArray)
            kind = pandas.DatetimeIndex if dates else pandas.TimedeltaIndex
            found = kind(array, name=reader.value(rest[2]))
            if rest[1] is not None:
                found.freq = rest[1]
            return found
        return pandas.Index(array, dtype=array.dtype, name=reader.value(rest[1]))

    return read


def _read_scalar(tag: str) -> Any:
    def read(reader: Reader, rest: list[Any]) -> Any:
        pandas = importlib.import_module("pandas")

        if tag == "missing":
            return {"NaT": pandas.NaT, "NA": pandas.NA}[rest[0]]
        if tag == "timestamp":
            return reader.value(rest[0])[0].replace(fold=rest[1])
        if tag == "duration":
            return reader.value(rest[0])[0]
        if tag == "period":
            return pandas.Period(ordinal=reader.value(rest[0]), freq=rest[1])
        if tag == "interval":
            return pandas.Interval(*reader.values(rest[:2]), closed=rest[2])
        if tag == "offset":
            return pandas.tseries.frequencies.to_offset(rest[0])
        if tag == "category":
            return pandas.CategoricalDtype(*reader.values(rest))
        return pandas.api.types.pandas_dtype(rest[0])

    return read


READ = {
    "frame": _read_frame,
    "series": _read_series,
    "extension": lambda reader, rest: _read_column(reader, rest[0]),
    **{tag: _read_index(tag) for tag in ("multi index", "range index", "time index", "array index", "index")},
    **{
        tag: _read_scalar(tag)
        for tag in ("missing", "timestamp", "duration", "period", "interval", "offset", "category", "pandas dtype")
    },
}
