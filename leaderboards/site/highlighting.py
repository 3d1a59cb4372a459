"""Source text with its parts of speech marked: keywords, names, strings, comments.

Pygments splits the text; whatever a participant wrote, what comes out are spans of a few fixed
classes around escaped text.
"""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup, escape

from lra_design.visible import visible_text

LONGEST = 200_000
"""Characters; a longer source is shown plainly."""
KINDS = ("Keyword", "String", "Comment", "Number", "Name.Function", "Name.Class", "Name.Decorator")
"""Kinds of tokens that are marked, the more general first; the class is the last word."""


@lru_cache(maxsize=256)
def highlighted(source: str) -> Markup:
    """HTML of a Python source: control characters written out, escaped, in spans of `KINDS`."""
    text = visible_text(source)
    if len(text) > LONGEST:
        return escape(text)
    from pygments.lexers import PythonLexer

    tokens = PythonLexer(stripnl=False, ensurenl=False).get_tokens(text)
    return Markup("").join(_span(_kind(kind), value) for kind, value in tokens)


def _kind(kind: object) -> str | None:
    name = str(kind).removeprefix("Token.").replace("Literal.", "")
    return next((one for one in KINDS if name == one or name.startswith(f"{one}.")), None)


def _span(kind: str | None, text: str) -> Markup:
    if kind is None or not text.strip():
        return escape(text)
    return Markup('<span class="{}">{}</span>').format("t-" + kind.rpartition(".")[2].lower(), text)
