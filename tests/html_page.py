"""A page as a browser reads it, for tests of what is written."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input"}
"""Elements of the page that have no end tag."""


class Page(HTMLParser):
    """What a browser would see: elements, attributes, texts; refuses what is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.content: dict[str, str] = {}
        self.kind: str | None = None
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if "pre" in self.open and tag == "span":  # parts of speech of a source, lines of a diff
            assert re.fullmatch("[td]-[a-z]+", dict(attrs)["class"] or "")
            assert len(attrs) == 1
            self.open.append(tag)
            return
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
        self.kind = dict(attrs).get("type")  # a script with a type is data, and is not run
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("script", "style"):
            kind = self.open[-1] if self.kind is None else self.kind
            self.content[kind] = self.content.get(kind, "") + data

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def attributes(self, name: str) -> list[str]:
        return [
            value or "" for _, found in self.elements for n, value in found.items() if n == name
        ]
