"""A change taken apart into ingredients, each of which can be put into the parent alone.

An ingredient is one stretch of lines that differs, or several that belong together: the same change
in several places, a name and its uses, halves of a statement, comments beside what they comment.
What belongs together is read off the source: alone, or missing from the child, an ingredient must
leave a file that parses, and no name undefined or unused that is neither so in the parent nor in
the child. Whether it makes sense alone is for the validator to say.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import functools
import symtable
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_sandbox.fingerprint.structure import structure

UNREADABLE = "unreadable"
"""The flaw of a file that does not parse."""


@dataclass(frozen=True)
class Hunk:
    """Lines `start` to `stop` of the parent, from 0, `stop` left out, and what replaces them."""

    start: int
    stop: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Ingredient:
    """Hunks that belong together, in the order of the parent; at least one."""

    hunks: tuple[Hunk, ...]


def split_change(parent: str, child: str) -> tuple[Ingredient, ...]:
    """The ingredients of what makes `child` of `parent`, in the order of the parent.

    Put in together they give the child exactly. Empty when the two differ in comments, layout and
    the like alone.
    """
    return _Splitting(parent, child).ingredients()


def put_in(parent: str, ingredients: Iterable[Ingredient]) -> str:
    """The parent with `ingredients` of a change of it, any of them in any order."""
    hunks = [hunk for ingredient in ingredients for hunk in ingredient.hunks]
    lines = parent.split("\n")
    for hunk in sorted(hunks, key=lambda hunk: hunk.start, reverse=True):
        lines[hunk.start : hunk.stop] = hunk.lines
    return "\n".join(lines)


class _Splitting:
    """One change, and what joins its hunks."""

    def __init__(self, parent: str, child: str) -> None:
        self._parent, self._child = parent, child
        self._hunks = tuple(_hunks(parent, child))
        self._known = _flaws(parent) | _flaws(child)

    def ingredients(self) -> tuple[Ingredient, ...]:
        if not self._hunks or _same_code(self._parent, self._child):
            return ()
        found = self._with_layout(_alike(self._hunks))
        while pair := self._belonging(found):
            found = [one for one in found if one not in pair] + [_joined(*pair)]
        return tuple(sorted(found, key=lambda one: one.hunks[0].start))

    def _alone(self, one: Ingredient) -> str:
        return put_in(self._parent, [one])

    def _missing(self, one: Ingredient) -> str:
        """The child without it."""
        rest = tuple(hunk for hunk in self._hunks if hunk not in one.hunks)
        return put_in(self._parent, [Ingredient(rest)])

    def _with_layout(self, found: Sequence[Ingredient]) -> list[Ingredient]:
        """Each ingredient that changes no code joined to the nearest one that does."""
        code = {one: one for one in found if not self._is_layout(one)}
        if not code:
            return [_joined(*found)]
        for one in found:
            if one not in code:
                nearest = min(code, key=lambda other: _distance(one, other))
                code[nearest] = _joined(code[nearest], one)
        return list(code.values())

    def _is_layout(self, one: Ingredient) -> bool:
        return _same_code(self._alone(one), self._parent) and _same_code(
            self._missing(one), self._child
        )

    def _belonging(self, found: Sequence[Ingredient]) -> tuple[Ingredient, Ingredient] | None:
        """Two ingredients of which one cannot do without the other; None when all can."""
        for one in found:
            partner = self._partner(one, [other for other in found if other != one])
            if partner is not None:
                return one, partner
        return None

    def _partner(self, one: Ingredient, others: Sequence[Ingredient]) -> Ingredient | None:
        """The nearest of those that mend most of its flaws."""
        flaws = self._new_flaws(one)
        if not flaws or not others:
            return None
        left = {other: len(flaws & self._new_flaws(_joined(one, other))) for other in others}
        best = min(others, key=lambda other: (left[other], _distance(one, other)))
        return best if left[best] < len(flaws) or UNREADABLE in flaws else None

    def _new_flaws(self, one: Ingredient) -> frozenset[str]:
        return (_flaws(self._alone(one)) | _flaws(self._missing(one))) - self._known


def _hunks(parent: str, child: str) -> Iterator[Hunk]:
    before, after = parent.split("\n"), child.split("\n")
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, start, stop, first, last in matcher.get_opcodes():
        if tag != "equal":
            yield Hunk(start, stop, tuple(after[first:last]))


def _alike(hunks: Sequence[Hunk]) -> list[Ingredient]:
    """A hunk each, but for those that put in the same lines in place of as many."""
    groups: dict[tuple[object, ...], list[Hunk]] = {}
    for hunk in hunks:
        lines = tuple(line.strip() for line in hunk.lines)
        key = (hunk.stop - hunk.start, lines) if any(lines) else (hunk,)
        groups.setdefault(key, []).append(hunk)
    return [Ingredient(tuple(group)) for group in groups.values()]


def _joined(*ingredients: Ingredient) -> Ingredient:
    hunks = (hunk for ingredient in ingredients for hunk in ingredient.hunks)
    return Ingredient(tuple(sorted(hunks, key=lambda hunk: hunk.start)))


def _distance(one: Ingredient, other: Ingredient) -> int:
    """Lines of the parent between the nearest hunks of both."""
    return min(max(a.start, b.start) - min(a.stop, b.stop) for a in one.hunks for b in other.hunks)


def _same_code(one: str, other: str) -> bool:
    first, second = _layout(one), _layout(other)
    return first is not None and first == second


@functools.lru_cache(maxsize=64)
def _layout(source: str) -> str | None:
    """Equal for sources that differ in comments and the like alone; None when unreadable."""
    known = structure(source)
    return known.layout if known else None


@functools.lru_cache(maxsize=4096)
def _flaws(source: str) -> frozenset[str]:
    """What shows that a part is missing: names undefined and unused, each with its scope."""
    try:
        with warnings.catch_warnings(action="ignore"):
            nodes = list(ast.walk(ast.parse(source)))
            table = symtable.symtable(source, "candidate", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return frozenset({UNREADABLE})
    return frozenset((*_of_names(nodes, table), *_of_members(nodes), *_of_keywords(nodes)))


def _of_names(nodes: Sequence[ast.AST], table: symtable.SymbolTable) -> Iterator[str]:
    """Flaws of variables, functions, classes and imports."""
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {n.id for n in nodes if isinstance(n, ast.Name) and _is_read(n)}
    yield from (f"unused {name}" for name in defined - used)
    for scope in _scopes(table):
        for symbol in scope.get_symbols():
            name = symbol.get_name()
            if symbol.is_global() and symbol.is_referenced() and name not in defined:
                if not hasattr(builtins, name):
                    yield f"undefined {name}"
            elif isinstance(scope, symtable.Function) and _is_unused(scope, symbol):
                yield f"unused {name} in {scope.get_name()}"


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for inner in table.get_children():
        yield from _scopes(inner)


def _is_unused(scope: symtable.SymbolTable, symbol: symtable.Symbol) -> bool:
    """Whether a function's own variable is read neither in it nor in a function inside it."""
    name = symbol.get_name()
    return (
        (symbol.is_local() or symbol.is_parameter())
        and not symbol.is_referenced()
        and not any(
            name in inner.get_identifiers() and inner.lookup(name).is_free()
            for inner in scope.get_children()
        )
    )


def _of_members(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Flaws of what is read and written as `self.name`, and of what classes define."""
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    of_self = [a for a in attributes if isinstance(a.value, ast.Name) and a.value.id == "self"]
    defined = {a.attr for a in of_self if not _is_read(a)} | set(_class_names(nodes))
    yield from (f"undefined self.{a.attr}" for a in of_self if a.attr not in defined)
    yield from (
        f"unused self.{name}" for name in defined - {a.attr for a in attributes if _is_read(a)}
    )


def _class_names(nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            match member:
                case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    yield name
                case ast.Assign(targets=targets):
                    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _of_keywords(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Keywords of calls, and hyperparameters of a search space, that no function here takes."""
    taken = {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        match node:
            case ast.keyword(arg=str(name)) if name not in taken:
                yield f"undefined {name}="
            case (
                ast.Assign(targets=[ast.Name(id="search_space")], value=ast.Dict(keys=keys))
                | ast.AnnAssign(target=ast.Name(id="search_space"), value=ast.Dict(keys=keys))
            ):
                for key in keys:
                    if isinstance(key, ast.Constant) and key.value not in taken:
                        yield f"undefined {key.value!s}="


def _is_read(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)
