"""The text of a mechanism without what an author is free to choose: to find copies of it.

Two files of one *layout* have the same plain tree (see `plain`). Two files of one *form* have it
when their own names are numbered and their definitions sorted besides. The *pieces* of a file are
the short runs of nodes of its tree, names left out: the share of them that two files have in common
says how alike they are.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent_sandbox.fingerprint.plain import OWN, Plain
from agent_sandbox.validator.syntax import read_syntax
from agent_sandbox.validator.violation import Violation

PIECE = 5
"""Nodes in a piece."""
CLAIMS = ("claimed_cost", "search_space")
"""What a mechanism says of itself, which is no part of its form."""
END = ")"
Naming = Callable[[str], str]
"""What stands for a name that is marked as the author's."""


@dataclass(frozen=True)
class Structure:
    """What a file has in common with its copies."""

    layout: str
    form: str
    pieces: frozenset[tuple[str, ...]]

    def shared(self, other: Structure) -> float:
        """Pieces that both have, as a share of those that either has."""
        either = self.pieces | other.pieces
        return len(self.pieces & other.pieces) / len(either) if either else 1.0


@functools.lru_cache(maxsize=256)
def structure(source: str) -> Structure | None:
    """Of a file that parses; None for one that does not, or is nested too deeply to compare."""
    syntax = read_syntax(source.encode(errors="surrogatepass"))
    if isinstance(syntax, Violation):
        return None
    try:
        tree = Plain(syntax).visit(syntax.tree)
        layout = _digest(_tokens(tree, lambda name: name.rpartition("/")[2]))
        tree = _Sorted().visit(tree)
        anonymous = [token for token in _tokens(tree, _anonymous) if token != END]
        return Structure(
            layout=layout,
            form=_digest(_tokens(tree, _numbering())),
            pieces=frozenset(zip(*(anonymous[start:] for start in range(PIECE)), strict=False)),
        )
    except RecursionError:
        return None


class _Sorted(ast.NodeTransformer):
    """Puts what stands in a module and in a class in the order of its digest."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = sorted((s for s in node.body if not _is_claim(s)), key=_rough_digest)
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        node.body = sorted(node.body, key=_rough_digest)
        return node


def _is_claim(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in CLAIMS for target in statement.targets
    )


def _rough_digest(node: ast.AST) -> str:
    return _digest(_tokens(node, _anonymous))


def _anonymous(name: str) -> str:
    return OWN


def _numbering() -> Naming:
    """Names by the order in which they first come."""
    numbers: dict[str, str] = {}
    return lambda name: numbers.setdefault(name, f"{OWN}{len(numbers)}")


def _tokens(node: ast.AST, naming: Naming) -> Iterator[str]:
    """The tree as a sequence, from which it could be built again."""
    yield type(node).__name__
    for field, value in ast.iter_fields(node):
        if field in ("ctx", "type_comment", "kind"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _tokens(item, naming)
            elif isinstance(item, str) and item.startswith(OWN):
                yield naming(item)
            elif item is not None:
                yield repr(item)
        yield END


def _digest(tokens: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(tokens).encode(errors="backslashreplace")).hexdigest()[:32]
