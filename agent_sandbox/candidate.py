"""A candidate's source: its hash, its search space, and, inside a worker only, its class."""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import linecache
import sys
import threading
import tokenize
import warnings
from types import ModuleType
from typing import Any

from lra_design.interface import Mechanism

MODULE_NAME = "candidate"
FILE_NAME = "candidate.py"
"""What tracebacks call the source."""


def source_hash(source: bytes) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    return hashlib.sha256(source).hexdigest()


def load_mechanism(source: str) -> type[Mechanism]:
    """Execute `source` as the module `candidate` and return its single concrete `Mechanism`.

    Runs untrusted code: call it in an isolated worker, never in the judge. Raises ValueError when
    the module does not define exactly one concrete subclass, and whatever the source raises.
    """
    module = ModuleType(MODULE_NAME)
    module.__file__ = FILE_NAME
    sys.modules[MODULE_NAME] = module  # dataclasses look their module up by name
    lines = _without_comments(source).splitlines(keepends=True)  # tracebacks show them
    linecache.cache[FILE_NAME] = (len(source), None, lines, FILE_NAME)
    exec(compile(_without_texts(source), FILE_NAME, "exec", dont_inherit=True), module.__dict__)
    found: list[type[Mechanism]] = list(
        dict.fromkeys(v for v in vars(module).values() if _is_own_mechanism(v))
    )
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise ValueError(f"expected exactly one concrete subclass of Mechanism, found {names}")
    return found[0]


def _without_comments(source: str) -> str:
    """The text with blanks for comments: they do not count as data either."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + "\n"
    return "".join(lines)


def _without_texts(source: str) -> ast.Module:
    """The tree without docstrings: they do not count as data, so the code must not read them."""
    tree = ast.parse(source, FILE_NAME)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            node.body[0].value = ast.Constant("")  # type: ignore[attr-defined]
    return ast.fix_missing_locations(tree)


def _is_own_mechanism(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Mechanism)
        and value.__module__ == MODULE_NAME
        and not inspect.isabstract(value)
    )


def parse(source: str) -> ast.Module:
    """The syntax tree of `source`, without the parser's warnings about style.

    A warning must not reach the judge: where warnings are errors it would change the verdict.
    Raises what `ast.parse` raises: SyntaxError, ValueError, RecursionError, MemoryError.
    """
    with _WARNING_FILTERS, warnings.catch_warnings():  # the filters belong to all threads
        warnings.simplefilter("ignore")
        return ast.parse(source, FILE_NAME)


_WARNING_FILTERS = threading.Lock()


def read_search_space(source: str) -> dict[str, dict[str, Any]]:
    """The literal `search_space` of the mechanism in `source`, read from the syntax tree.

    Returns `{}` when there is none. Raises ValueError when it is not a literal dictionary.
    """
    for class_def in mechanism_classes(parse(source))[:1]:
        return literal_search_space(class_def)
    return {}


def literal_search_space(class_def: ast.ClassDef) -> dict[str, dict[str, Any]]:
    """The value of `search_space` in the class's body; `{}` when it is not set there.

    Raises ValueError when it is not a literal dictionary.
    """
    node = class_attribute(class_def, "search_space")
    if node is None:
        return {}
    try:
        space = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError("search_space is not a literal: no names, calls or arithmetic") from None
    if not isinstance(space, dict):
        raise ValueError(f"search_space is a {type(space).__name__}, not a dictionary")
    return space


def class_attribute(class_def: ast.ClassDef, name: str) -> ast.expr | None:
    """The expression last assigned to `name` in the class's body; None when there is none."""
    found = None
    for node in class_def.body:
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            found = node.value
    return found


def class_method(class_def: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """The method `name` in the class's body; None when there is none."""
    methods = (node for node in class_def.body if isinstance(node, ast.FunctionDef))
    return next((method for method in methods if method.name == name), None)


def keywords_with_default(class_def: ast.ClassDef) -> set[str]:
    """The hyperparameters that its `__init__` names: keyword arguments with a default."""
    init = class_method(class_def, "__init__")
    if init is None:
        return set()
    args = init.args
    with_default = args.args[len(args.args) - len(args.defaults) :] if args.defaults else []
    keywords = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return {arg.arg for arg in with_default} | {a.arg for a, default in keywords if default}


def mechanism_classes(tree: ast.Module) -> list[ast.ClassDef]:
    """The concrete subclasses of `Mechanism` in source order, as far as the text shows them.

    A class counts when it descends from `Mechanism`, under whatever name that was imported, and it
    or an ancestor in the same file defines `forward`.
    """
    roots = _names_of_mechanism(tree)
    family: dict[str, bool] = {}  # name of a descendant -> whether it has a `forward`
    concrete = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [dotted(base) for base in node.bases]
        if not any(base in roots or base in family for base in bases):
            continue
        has_forward = class_method(node, "forward") is not None
        family[node.name] = has_forward or any(family.get(base, False) for base in bases)
        if family[node.name]:
            concrete.append(node)
    return concrete


def _names_of_mechanism(tree: ast.Module) -> set[str]:
    """Every dotted name under which the file can refer to the contract's `Mechanism`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in _CONTRACT_MODULES:
            for alias in node.names:
                local = alias.asname or alias.name
                names |= {local} if alias.name == "Mechanism" else {f"{local}.Mechanism"}
                names |= {"Mechanism"} if alias.name == "*" else set()
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _CONTRACT_MODULES:
                    names.add(f"{alias.asname or alias.name}.Mechanism")
                    names |= set() if alias.asname else {"lra_design.Mechanism"}
    return names


_CONTRACT_MODULES = ("lra_design", "lra_design.interface")


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a chain of attributes; the empty string for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
