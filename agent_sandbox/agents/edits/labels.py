"""What a change touches: the definitions and assignments of the file, by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def changed_parts(parent: str, child: str) -> tuple[str, ...]:
    """What differs, in the order of the files: `Gated.forward changed`, `Gated.decay added`.

    Comments and layout are no difference. A text that is no Python differs as a whole, in one part.
    """
    try:
        before, after = _forms(parent), _forms(child)
    except (SyntaxError, ValueError, RecursionError):
        return ("the file changed",)
    added = [f"{name} added" for name in after if name not in before]
    removed = [f"{name} removed" for name in before if name not in after]
    both = (name for name in after if name in before)
    changed = [f"{name} changed" for name in both if before[name] != after[name]]
    return (*changed, *added, *removed)


def _forms(source: str) -> dict[str, str]:
    """The form of each part by its name; what has one name is one part."""
    forms: dict[str, str] = {}
    for name, form in _parts(ast.parse(source)):
        forms[name] = forms.get(name, "") + form
    return forms


def _parts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and form of each part of a module; classes are taken apart into their members."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, _form([*node.bases, *node.keywords, *node.decorator_list])
            for member in node.body:
                yield f"{node.name}.{_name(member)}", _form([member])
        else:
            yield _name(node), _form([node])


def _name(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case ast.Import() | ast.ImportFrom():
            return ast.unparse(node)
        case ast.Expr(value=ast.Constant(value=str())):
            return "docstring"
    return f"{type(node).__name__.lower()} {ast.unparse(node)[:30]!r}"


def _form(nodes: list[ast.AST]) -> str:
    return "\n".join(ast.dump(node) for node in nodes)
