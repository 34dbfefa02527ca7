"""Runs inside the sandbox. What `values` is for Python's own types, for numpy's and scipy's, torch's and TensorFlow's."""

from __future__ import annotations

import importlib
from typing import Any

from values import Reader, Writer, loaded  # type: ignore[import-not-found]

_PLAIN = "biufcSUmM"  # kinds of dtypes whose bytes are the values
_SPARSE = {
    f"{form}_{kind}": form for form in ("csr", "csc", "bsr", "coo", "dia", "lil", "dok") for kind in ("matrix", "array")
}


def write(writer: Writer, value: Any) -> Any:
    """The node of a value of these libraries, or None."""
    numpy, sparse, torch, tensorflow = map(loaded, ("numpy", "scipy.sparse", "torch", "tensorflow"))
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _array(writer, value, numpy)
        if isinstance(value, numpy.generic):
            return ["scalar", writer.node(numpy.asarray(value))]
        if isinstance(value, numpy.dtype) and type(value).__module__.startswith("numpy"):
            return ["dtype", value.str] if value.names is None else None
        if isinstance(value, type) and issubclass(value, numpy.generic):
            return ["numpy type", value.__name__]
    if sparse is not None and type(value).__name__ in _SPARSE and type(value).__module__.startswith("scipy.sparse"):
        return _sparse(writer, value)
    if torch is not None:
        found = _torch(writer, value, torch)
        if found is not None:
            return found
    if tensorflow is not None:
        return _tensorflow(writer, value, tensorflow)
    return None


def _array(writer: Writer, value: Any, numpy: Any) -> Any:
    kind = type(value)
    if kind is numpy.ma.MaskedArray:
        return ["masked", *writer.nodes((numpy.asarray(value.data), numpy.ma.getmaskarray(value), value.fill_value))]
    if kind is not numpy.ndarray:
        name = "matrix" if kind is numpy.matrix else "recarray" if kind is numpy.recarray else "subarray"
        return [name, writer.node(value.view(numpy.ndarray))]
    shape = list(value.shape)
    if value.dtype.names is not None:
        if value.dtype.hasobject:
            return ["opaque", "a structured array of objects"]
        fields = [[name, writer.node(numpy.ascontiguousarray(value[name]))] for name in value.dtype.names]
        return ["fields", shape, fields]
    if value.dtype.kind == "O":
        return ["objects", shape, writer.nodes(value.ravel().tolist())]
    if value.dtype.kind not in _PLAIN:
        return ["opaque", f"an array of {value.dtype}"]
    return ["array", value.dtype.str, shape, writer.buffer(value.tobytes())]


def _sparse(writer: Writer, value: Any) -> Any:
    name = type(value).__name__
    form, shape = _SPARSE[name], writer.nodes(value.shape)
    if form in ("csr", "csc", "bsr"):
        return ["sparse", name, shape, writer.nodes((value.data, value.indices, value.indptr))]
    if form == "dia":
        return ["sparse", name, shape, writer.nodes((value.data, value.offsets))]
    found = value.tocoo()
    return ["sparse", name, shape, writer.nodes((found.data, found.row, found.col))]


def _torch(writer: Writer, value: Any, torch: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.is_quantized:
            return ["opaque", type(value).__name__]
        plain = value.detach()
        if plain.layout is torch.sparse_coo:
            found = plain.coalesce()
            return ["sparse tensor", *writer.nodes((found.indices(), found.values(), tuple(found.shape)))]
        if plain.layout is not torch.strided:
            return ["opaque", str(plain.layout)]
        plain = plain.resolve_conj().resolve_neg().cpu().contiguous()
        raw = (torch.view_as_real(plain) if plain.is_complex() else plain).reshape(-1).view(torch.uint8)
        about = [str(value.dtype), list(value.shape), bool(value.requires_grad), type(value) is torch.nn.Parameter]
        return ["tensor", *about, writer.buffer(raw.numpy().tobytes())]
    if isinstance(value, torch.Size):
        return ["size", list(value)]
    if isinstance(value, torch.dtype):
        return ["torch dtype", str(value)]
    if isinstance(value, torch.optim.Optimizer):  # what tests look at
        groups = [{key: item for key, item in group.items() if key != "params"} for group in value.param_groups]
        return ["optimizer", *writer.nodes((dict(value.defaults), groups))]
    return None


def _tensorflow(writer: Writer, value: Any, tensorflow: Any) -> Any:
    if isinstance(value, tensorflow.Variable):
        return ["variable", writer.node(value.numpy()), value.dtype.name]
    if isinstance(value, tensorflow.SparseTensor):
        return ["tf sparse", *writer.nodes((value.indices, value.values, value.dense_shape))]
    if isinstance(value, tensorflow.RaggedTensor):
        return ["ragged", *writer.nodes((value.values, value.row_splits))]
    if isinstance(value, tensorflow.Tensor) and hasattr(value, "numpy"):
        return ["tf tensor", writer.node(value.numpy()), value.dtype.name]
    if isinstance(value, tensorflow.DType):
        return ["tf dtype", value.name]
    if isinstance(value, tensorflow.TensorShape):
        return ["tf shape", writer.node(value.as_list())]
    return None


class Optimizer:
    """What tests look at of an optimizer of torch."""

    def __init__(self, defaults: Any, param_groups: Any) -> None:
        self.defaults, self.param_groups = defaults, param_groups


def _read_array(reader: Reader, rest: list[Any]) -> Any:
    numpy = importlib.import_module("numpy")

    kind, shape, number = rest
    dtype = numpy.dtype(kind)
    if dtype.kind not in _PLAIN:
        raise TypeError(kind)
    return numpy.frombuffer(bytearray(reader.buffer(number)), dtype).reshape(shape)


def _read_objects(reader: Reader, rest: list[Any]) -> Any:
    numpy = importlib.import_module("numpy")

    shape, items = rest
    made = numpy.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        made[number] = reader.value(item)
    return made.reshape(shape)


def _read_fields(reader: Reader, rest: list[Any]) -> Any:
    numpy = importlib.import_module("numpy")

    shape, fields = rest
    columns = [(name, reader.value(node)) for name, node in fields]
    kinds = [(name, column.dtype, column.shape[len(shape) :]) for name, column in columns]
    made = numpy.empty(shape, dtype=kinds)
    for name, column in columns:
        made[name] = column
    return made


def _read_subarray(reader: Reader, rest: list[Any]) -> Any:
    numpy = importlib.import_module("numpy")
    return reader.value(rest[0]).view(type("Subarray", (numpy.ndarray,), {}))  # of a class of the program's


def _read_scalar(reader: Reader, rest: list[Any]) -> Any:
    return reader.value(rest[0])[()]


def _read_numpy(tag: str) -> Any:
    def read(reader: Reader, rest: list[Any]) -> Any:
        numpy = importlib.import_module("numpy")

        if tag == "dtype":
            return numpy.dtype(rest[0])
        if tag == "numpy type":
            return numpy.dtype(rest[0]).type
        value = reader.value(rest[0])
        if tag == "masked":
            mask, fill = reader.values(rest[1:])
            return numpy.ma.MaskedArray(value, mask=mask, fill_value=fill)
        return value.view(numpy.matrix if tag == "matrix" else numpy.recarray)

    return read


def _read_sparse(reader: Reader, rest: list[Any]) -> Any:
    sparse = importlib.import_module("scipy.sparse")
    name, shape, content = rest
    form, sizes, arrays = _SPARSE[name], tuple(reader.values(shape)), reader.values(content)
    kind = getattr(sparse, name)
    if form in ("csr", "csc", "bsr"):
        found = kind(tuple(arrays), shape=sizes)
        found.check_format(full_check=True)  # its routines trust the indices
        return found
    if form == "dia":
        return kind(tuple(arrays), shape=sizes)
    data, row, column = arrays
    coo = sparse.coo_array if name.endswith("array") else sparse.coo_matrix
    found = coo((data, (row, column)), shape=sizes)
    return found if form == "coo" else found.asformat(form)


def _read_tensor(reader: Reader, rest: list[Any]) -> Any:
    torch = importlib.import_module("torch")

    kind, shape, requires_grad, parameter, number = rest
    dtype = _dtype(kind)
    content = bytearray(reader.buffer(number))
    plain = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    plain = plain.reshape(shape).clone()
    return torch.nn.Parameter(plain, requires_grad) if parameter else plain.requires_grad_(requires_grad)


def _dtype(name: str) -> Any:
    torch = importlib.import_module("torch")

    found = getattr(torch, name.rpartition(".")[2])
    if not isinstance(found, torch.dtype):
        raise TypeError(name)
    return found


def _read_torch(tag: str) -> Any:
    def read(reader: Reader, rest: list[Any]) -> Any:
        torch = importlib.import_module("torch")

        if tag == "size":
            return torch.Size(rest[0])
        if tag == "torch dtype":
            return _dtype(rest[0])
        if tag == "optimizer":
            return Optimizer(*reader.values(rest))
        indices, values, shape = reader.values(rest)
        newer = hasattr(torch.sparse, "check_sparse_tensor_invariants")  # torch before 2 always checks
        return torch.sparse_coo_tensor(
            indices, values, shape, **({"check_invariants": True} if newer else {})
        ).coalesce()

    return read


def _read_tensorflow(tag: str) -> Any:
    def read(reader: Reader, rest: list[Any]) -> Any:
        tensorflow = importlib.import_module("tensorflow")

        if tag == "tf dtype":
            return tensorflow.dtypes.as_dtype(rest[0])
        found = reader.values(rest)
        if tag == "tf shape":
            return tensorflow.TensorShape(found[0])
        if tag == "tf sparse":
            return tensorflow.SparseTensor(*found)
        if tag == "ragged":
            return tensorflow.RaggedTensor.from_row_splits(*found, validate=True)
        made = tensorflow.constant(found[0], dtype=found[1])
        return tensorflow.Variable(made) if tag == "variable" else made

    return read


READ = {
    "array": _read_array,
    "objects": _read_objects,
    "fields": _read_fields,
    "subarray": _read_subarray,
    "scalar": _read_scalar,
    "sparse": _read_sparse,
    "tensor": _read_tensor,
    **{tag: _read_numpy(tag) for tag in ("dtype", "numpy type", "masked", "matrix", "recarray")},
    **{tag: _read_torch(tag) for tag in ("size", "torch dtype", "optimizer", "sparse tensor")},
    **{tag: _read_tensorflow(tag) for tag in ("tf dtype", "tf shape", "tf sparse", "ragged", "tf tensor", "variable")},
}
