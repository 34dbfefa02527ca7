"""Whether the calls of a program's functions can know of each other: a long program whose calls cannot is judged on several cores.

Nothing is trusted here: a program that deceives this check is judged on the same inputs with the same limits all the same.
"""

from __future__ import annotations

import ast

_PURE = (
    "bisect",
    "collections",
    "copy",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "string",
    "typing",
)
_REFLECTION = ("compile", "delattr", "eval", "exec", "getattr", "globals", "input", "locals", "open", "setattr", "vars")
_KEEPS_STATE = (ast.Global, ast.Nonlocal, ast.ClassDef, ast.AsyncFunctionDef)


def calls(program: str) -> bool:
    """True when no call of the program leaves anything behind that another call could see: no mutable globals or defaults, no
    decorators (caches), no classes, no attributes written, no reflection, imports of a few pure modules only."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_top_level(statement) for statement in tree.body) and all(_harmless(node) for node in ast.walk(tree))


def _top_level(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign | ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.FunctionDef | ast.Import | ast.ImportFrom)


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, _KEEPS_STATE):
        return False
    if isinstance(node, ast.Import):
        return all(name.name in _PURE for name in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in _PURE
    if isinstance(node, ast.Attribute):
        return isinstance(node.ctx, ast.Load) and not node.attr.startswith("_")
    if isinstance(node, ast.Name):
        return node.id not in _REFLECTION and not node.id.startswith("__")
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        defaults = [value for value in (*node.args.defaults, *node.args.kw_defaults) if value is not None]
        decorated = isinstance(node, ast.FunctionDef) and node.decorator_list
        return not decorated and all(isinstance(value, ast.Constant) for value in defaults)
    return True
