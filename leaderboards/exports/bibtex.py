"""What a leaderboard compares, as BibTeX: nothing but what the project's own data says.

- the paper of each reference mechanism, from the head of its file;
- what each task cites;
- each source of the published results that are shown beside a board.

Keys stay the same as long as that data does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from leaderboards.human import TASK_FAMILIES, resembled_family, results
from leaderboards.scores import Entry, group_by_board
from mechanisms import REFERENCES, heading
from tasks.registry import TASKS

Fields = Mapping[str, str]
_AUTHORS = re.compile(r"((?:[A-Z][\w'-]+(?:, | and )?)+)( et al\.)?, \"([^\"]+)\"")
_CITED = re.compile(r"(?P<authors>.+?) (?P<year>\d{4}) \((?P<where>.+)\)")


def bibliography(entries: Iterable[Entry]) -> str:
    """Every work once, by key."""
    found: dict[str, Fields] = {}
    for key, fields in _works(list(entries)):
        if len(fields) > len(found.get(key, {})):
            found[key] = fields
    return "\n".join(_entry(key, found[key]) for key in sorted(found))


def _works(entries: list[Entry]) -> Iterator[tuple[str, Fields]]:
    own = {entry.name for entry in entries if entry.origin == "reference"}
    for board in group_by_board(entries):
        task = TASKS.get(board.task)
        if task is not None:
            yield from map(cited, task.citation.split("; "))
        family = TASK_FAMILIES.get(board.task) or resembled_family(board.task)
        for result in results(family) if family else ():
            yield source_key(result.source), {"howpublished": result.source}
            own |= {result.mechanism} if result.mechanism else set()
    yield from (paper(name) for name in REFERENCES if name in own)


def paper(mechanism: str) -> tuple[str, Fields]:
    """Key and fields of the paper of a reference mechanism."""
    head = heading(mechanism)
    parts = _AUTHORS.search(head.citation)
    if parts is None:
        raise ValueError(f"expected 'AUTHORS, \"TITLE\"' in {mechanism}.py, found {head.citation}")
    authors = _authors(parts[1]) + (" and others" if parts[2] else "")
    fields = {"author": authors, "title": f"{{{parts[3]}}}", "year": str(head.year)}
    return _key(authors, fields["year"], head.arxiv), {**fields, **_arxiv(head.arxiv)}


def cited(citation: str) -> tuple[str, Fields]:
    """Key and fields of what a task cites: `Tay et al. 2021 (arXiv 2011.04006)`."""
    parts = _CITED.fullmatch(citation.strip())
    if parts is None:
        raise ValueError(f"expected 'AUTHORS YEAR (WHERE)', found '{citation}'")
    others = parts["authors"].endswith(" et al.")
    authors = _authors(parts["authors"].removesuffix(" et al.")) + " and others" * others
    arxiv = parts["where"].removeprefix("arXiv ")
    where = _arxiv(arxiv) if arxiv != parts["where"] else {"note": parts["where"]}
    return _key(authors, parts["year"], arxiv), {"author": authors, "year": parts["year"], **where}


def source_key(source: str) -> str:
    """Key of where published results were read."""
    return "source-" + re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")


def _authors(names: str) -> str:
    return " and ".join(re.split(r", | and ", names))


def _arxiv(number: str) -> Fields:
    return {"eprint": number, "archiveprefix": "arXiv", "url": f"https://arxiv.org/abs/{number}"}


def _key(authors: str, year: str, where: str) -> str:
    """`vaswani2017-1706.03762`."""
    first = re.sub(r"[^a-z]", "", authors.split(" and ")[0].lower())
    arxiv = re.fullmatch(r"\d{4}\.\d{4,5}", where)
    return f"{first}{year}" + (f"-{where}" if arxiv else "")


def _entry(key: str, fields: Fields) -> str:
    lines = "".join(f"  {name} = {{{_escaped(value)}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{lines}}}\n"


def _escaped(value: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", value) if not value.startswith("https://") else value
