"""YAML that people write by hand: what could only be a mistake or an attack is refused with its line."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_DEEPEST, _LARGEST = 50, 10_000  # levels; values, those behind aliases counted each time
_MOST_BYTES = 1_000_000
_MERGE = "tag:yaml.org,2002:merge"


def load(content: bytes) -> Any:
    """The value of a YAML document. A ValueError says why it is refused: no YAML, a key twice, nested too deeply, too many values."""
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    loader = _Loader(content)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML's own constructors: `!!int x`, 2024-99-99, a number of 5,000 digits
        raise ValueError(f"a value that its tag does not fit: {error}") from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def __init__(self, content: bytes) -> None:
        try:
            super().__init__(content)
        except yaml.YAMLError as error:  # not UTF-8, or with control characters
            raise ValueError(str(error)) from None
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.YAMLError(f"more than {_DEEPEST} levels, from line {self.line + 1} on")
        try:
            node: Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if isinstance(node, MappingNode):
            _refuse_repeated_keys(node)
        return node


def _refuse_repeated_keys(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode) and key.tag != _MERGE:
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))


def _size(node: Node, known: dict[int, int | None]) -> int:
    """How many values a node stands for, each alias written out."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.MarkedYAMLError(problem="a value that contains itself", problem_mark=node.start_mark)
        return size
    known[id(node)] = None
    size = 1
    if isinstance(node, SequenceNode):
        size += sum(_size(item, known) for item in node.value)
    elif isinstance(node, MappingNode):
        size += sum(_size(key, known) + _size(value, known) for key, value in node.value)
    if size > _LARGEST:
        raise yaml.MarkedYAMLError(problem=f"more than {_LARGEST} values behind aliases", problem_mark=node.start_mark)
    known[id(node)] = size
    return size
