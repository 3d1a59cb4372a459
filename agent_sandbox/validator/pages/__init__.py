"""One page of documentation for every check, read by its id."""

from __future__ import annotations

from importlib.resources import files

from lra_design.errors import unknown_name


def page(check_id: str) -> str:
    """The page of the check `LRA202`, Markdown. Raises UsageError for an unknown id."""
    known = page_ids()
    if check_id not in known:
        raise unknown_name("check", check_id, known)
    return _read(check_id)


def page_titles() -> dict[str, str]:
    """The name of each check that has a page, `causal`, by its id."""
    return {check_id: _read(check_id).split(maxsplit=3)[2] for check_id in page_ids()}


def page_ids() -> tuple[str, ...]:
    """The ids that have a page, in order."""
    names = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".md") for name in names if name.endswith(".md")))


def _read(check_id: str) -> str:
    return (files(__name__) / f"{check_id}.md").read_text(encoding="utf-8")
