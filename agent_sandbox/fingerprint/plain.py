"""A syntax tree without what changes nothing, and with the author's own names marked.

Dropped: comments, docstrings, annotations, imports (every use carries the full path of what it
uses), the texts of exceptions, the difference between 2.0 and 2. Marked: `OWN` before every name
that the author was free to choose, with the function it belongs to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from agent_sandbox.validator.syntax import Syntax
from lra_design.interface import Mechanism

OWN = "?"
FIXED = frozenset(dir(Mechanism)) | {"config"}
"""Attributes of a mechanism that the contract or torch names."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Plain(ast.NodeTransformer):
    """Turns the tree of a file into its plain form, in place."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._attributes = frozenset(_attributes(syntax)) - FIXED
        self._scopes: list[tuple[str, frozenset[str]]] = []
        """Of the functions around the node: a mark and the names bound in it."""
        self._selves: list[str] = []
        """The first arguments of the functions around the node."""

    def _name(self, name: str) -> str:
        for mark, bound in reversed(self._scopes):
            if name in bound:
                return f"{OWN}{mark}/{name}"
        own = name in self._syntax.rebound and name not in FIXED
        return f"{OWN}/{name}" if own else name

    def _path(self, node: ast.expr) -> str | None:
        """What an imported name stands for, by the shortest of the paths to it."""
        path = self._syntax.resolve(node)
        return path and path.replace("lra_design.interface.", "lra_design.")

    def visit_Import(self, node: ast.Import) -> None:
        """Dropped."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Dropped."""

    def visit_Pass(self, node: ast.Pass) -> None:
        """Dropped."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A text that stands alone does nothing."""
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Only what is raised, not what it says."""
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=self.visit(error) if error else None, cause=None)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Without its message."""
        return ast.Assert(test=self.visit(node.test), msg=None)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """An assignment, or nothing."""
        if node.value is None:
            return None
        return ast.Assign(targets=[self.visit(node.target)], value=self.visit(node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """The names bound in it are its own."""
        node.name, node.returns = self._name(node.name), None
        bound = frozenset(_bound(node))
        arguments = [*node.args.posonlyargs, *node.args.args]
        self._scopes.append((str(node.lineno), bound))
        self._selves.append(arguments[0].arg if arguments else "")
        self.generic_visit(node)
        self._scopes.pop()
        self._selves.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Its name is the author's."""
        node.name = self._name(node.name)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Without its annotation."""
        return ast.arg(arg=self._name(node.arg), annotation=None)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """The path of what was imported under it, or whose name it is."""
        path = self._path(node)
        return ast.Name(id=path or self._name(node.id), ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """The path of what was imported, or an attribute that may be the author's."""
        if path := self._path(node):
            return ast.Name(id=path, ctx=node.ctx)
        own = self._is_self(node.value) and node.attr in self._attributes
        attribute = f"{OWN}/{node.attr}" if own else node.attr
        return ast.Attribute(value=self.visit(node.value), attr=attribute, ctx=node.ctx)

    def _is_self(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._selves

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Keywords of the author's functions are the author's; so are the axes in a pattern."""
        path = self._path(node.func) or ""
        if path == "torch.einsum" or path.startswith("einops."):
            _number_axes(node, r"[A-Za-z]" if path == "torch.einsum" else r"[A-Za-z_]\w*")
        elif self._is_own_function(node.func):
            for keyword in node.keywords:
                keyword.arg = keyword.arg and f"{OWN}/{keyword.arg}"
        return self.generic_visit(node)

    def _is_own_function(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return self._is_self(node.value) and node.attr in self._attributes
        return isinstance(node, ast.Name) and self._name(node.id).startswith(OWN)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """2.0 is 2, and the text that names an attribute is that name."""
        value = node.value
        if isinstance(value, float) and value.is_integer():
            return ast.Constant(int(value))
        if isinstance(value, str) and value in self._attributes:
            return ast.Constant(f"{OWN}/{value}")
        return node


def _attributes(syntax: Syntax) -> Iterator[str]:
    """Names of methods, class variables and attributes that the file sets."""
    for node in syntax.nodes:
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.Call(
                func=ast.Attribute(attr=method), args=[ast.Constant(value=str(name)), *_]
            ):
                yield from [name] if method.startswith("register_") else []
            case ast.ClassDef(body=body):
                for statement in body:
                    if isinstance(statement, Function):
                        yield statement.name
                    elif isinstance(statement, ast.Assign | ast.AnnAssign):
                        stored = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
                        yield from (n.id for n in stored if isinstance(n.ctx, ast.Store))


def _bound(function: ast.FunctionDef) -> Iterator[str]:
    """Arguments and variables of a function, and of those inside it."""
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) if node is not function:
                yield name


def _number_axes(call: ast.Call, axis: str) -> None:
    """Axes by the order they come in, in the patterns and in the sizes given for them."""
    numbers: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return numbers.setdefault(found.group(), f"axis{len(numbers)} ")

    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            argument.value = re.sub(axis, numbered, argument.value)
    for keyword in call.keywords:
        keyword.arg = numbers.get(keyword.arg or "", keyword.arg)
    call.keywords.sort(key=lambda keyword: keyword.arg or "")
