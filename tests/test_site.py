"""The site: hostile text stays text, nothing is loaded from anywhere, links lead somewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest
from html_page import Page
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from site_contents import full_contents, make_run

from leaderboards.contents import Contents
from leaderboards.human import FAMILY_NOTES, TASK_FAMILIES, anchor, results
from leaderboards.scores import rank
from leaderboards.site import make_site, pages, write_site
from leaderboards.site.boards import board_views
from lra_design.errors import DataError
from lra_design.records import (
    Run,
)
from lra_design.visible import visible_text

CHANCE = {"listops-v1": 0.17, "listops-mini": 0.2}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=https://example.com/x onerror='alert(1)'>",
    "'; </style></title></pre></details><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#60;",
    "javascript:alert(1)",
    "\u202egnitirw fo noitcerid\u2066",
    "\x1b[31m\x00\x07",
    "שלום עולם",
    "\ud800",
    "x" * 5003,
]


def site_of(contents: Contents, text: str = "note") -> dict[str, str]:
    """Every page of the site, as HTML."""
    site = make_site(contents, CHANCE, title=text, notes=(text,))
    return {path: page() for path, page in pages(site).items()}


def pages_of(runs: list[Run]) -> dict[str, str]:
    return site_of(Contents(tuple(runs), (), {}, ()))


def index_of(runs: list[Run]) -> str:
    return pages_of(runs)["index.html"]


@cache
def benign_shapes() -> dict[str, tuple[list[tuple[str, tuple[str, ...]]], dict[str, str]]]:
    """Elements and contents of each kind of page, with harmless text."""
    found = {}
    for path, html in site_of(full_contents("harmless")).items():
        page = Page(html)
        found[kind_of(path, html)] = page.shape, page.content
    return found


def kind_of(path: str, html: str) -> str:
    """Pages are named by their content: `entries tuned` for one of the tuned entry."""
    if path.startswith("searches/"):
        return path
    return f"{PurePosixPath(path).parts[0]} {'tuned' if ' · tuned · ' in html else 'fixed'}"


def assert_harmless(text: str) -> None:
    for path, html in site_of(full_contents(text), text).items():
        page = Page(html)
        shape, content = benign_shapes()[kind_of(path, html)]
        assert page.shape == shape, path
        for kind in ("script", "style"):
            assert page.content[kind] == content[kind], path
        assert not set(page.text) & set("\x00\x1b\u202e\u2066\ud800"), path


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_stays_text(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=4, deadline=None, phases=(Phase.generate,))
@given(st.text(min_size=1))
def test_no_text_at_all_changes_the_pages_elements(text: str) -> None:
    assert_harmless(text)


def test_hostile_text_is_shown_as_it_is() -> None:
    text = HOSTILE[1]
    shown = site_of(full_contents(text), text)
    entry = next(html for path, html in shown.items() if path.startswith("entries/"))
    assert Page(entry).text.count(visible_text(text)) >= 40
    assert Page(shown["index.html"]).text.count(visible_text(text)) >= 8
    data = json.loads(Page(shown["compare.html"]).content["application/json"])
    assert data["entries"][0]["n"] == text[:60]


def test_a_hostile_task_id_stays_text() -> None:
    for html in pages_of([make_run(task="<script>alert(1)</script>")]).values():
        page = Page(html)
        assert [t for t, a in page.elements if t == "script" and "type" not in a] == ["script"]


def test_nothing_is_loaded_from_anywhere() -> None:
    for path, html in site_of(full_contents("harmless")).items():
        page = Page(html)
        for name in ("src", "srcset", "action", "data", "style", "onclick", "onload", "http"):
            assert page.attributes(name) == []
        forbidden = {"img", "iframe", "object", "embed", "form", "base"}
        assert not forbidden & {tag for tag, _ in page.elements}
        assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", html), path


def test_the_policy_allows_exactly_the_pages_own_style_and_script() -> None:
    for html in pages_of([make_run()]).values():
        page = Page(html)
        policy = next(
            attributes["content"] or ""
            for tag, attributes in page.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy.startswith("default-src 'none'; ")
        for kind in ("script", "style"):
            digest = hashlib.sha256(page.content[kind].encode()).digest()
            assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
        assert "unsafe" not in policy


def test_links_and_labels_lead_somewhere_and_ids_are_unique() -> None:
    shown = {path: Page(html) for path, html in site_of(full_contents("harmless")).items()}
    for path, page in shown.items():
        ids = page.attributes("id")
        assert len(ids) == len(set(ids)), path
        assert set(page.attributes("aria-labelledby")) | set(page.attributes("for")) <= set(ids)
        for link in page.attributes("href"):
            file, _, place = link.partition("#")
            if link != "data:,":
                target = shown[resolved(path, file)]
                assert not place or "=" in place or place in target.attributes("id"), link


def resolved(path: str, link: str) -> str:
    """The path in the site that a link of the page at `path` leads to."""
    if not link:
        return path
    parts = list(PurePosixPath(path).parent.parts)
    for part in PurePosixPath(link).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_pages_can_be_read_by_ear() -> None:
    for path, html in site_of(full_contents("harmless")).items():
        page = Page(html)
        tags = [tag for tag, _ in page.elements]
        assert [tags.count(tag) for tag in ("main", "header", "h1")] == [1, 1, 1], path
        headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert headings[0] == 1, path
        assert all(later - earlier <= 1 for earlier, later in pairwise(headings)), path
        assert all("scope" in a for tag, a in page.elements if tag == "th"), path
        assert tags.count("table") == tags.count("caption"), path
        named = {"aria-label", "aria-labelledby", "aria-hidden"}
        assert all(named & set(a) for tag, a in page.elements if tag == "svg"), path
        controls = [a["id"] for tag, a in page.elements if tag in ("select", "input")]
        assert set(controls) <= set(page.attributes("for")), path


def test_entries_stand_in_their_order_and_missing_scores_are_dashes() -> None:
    runs = [
        make_run("lower", accuracy=0.3, split_hash="same"),
        make_run("unscored", accuracy=None),
        make_run("higher", accuracy=0.6, split_hash="same"),
    ]
    html = index_of(runs)
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    names = re.findall(r'href="entries/[0-9a-f]{16}\.html"><bdi>(\w+)</bdi>', body)
    assert names == ["higher", "lower", "unscored"]
    last_row = body[body.rindex("<tr") :]
    assert '<td class="number">–</td><td class="chart soft small">not scored yet</td>' in last_row
    assert "0.0<" not in last_row
    assert "None" not in Page(html).text


def test_every_bar_lies_on_its_axis_and_says_its_numbers() -> None:
    runs = [make_run(f"m{i}", accuracy=share) for i, share in enumerate((0.0, 0.4, 1.0))]
    html = index_of([*runs, make_run("full", accuracy=0.6, task="listops-v1")])
    places = [float(x) for x in re.findall(r'\b(?:x1|x2|cx|x)="([-\d.]+)"', html)]
    assert len(places) > 40
    assert min(places) >= 0
    assert max(places) <= 200
    assert 'aria-label="40.0 %, 95 % interval 35.3 to 44.9 %"' in html


def test_published_results_are_marked_not_comparable_beside_a_smaller_task() -> None:
    html = index_of([make_run()])
    assert "listops-v1, not comparable" in html
    assert "There is no published result at the size of" in html
    assert "B2S6 paper, table 3" in html
    assert '<tbody class="published">' not in html[: html.index("For orientation only")]


def test_published_results_stand_in_the_table_of_their_own_task() -> None:
    html = index_of([make_run(task="listops-v1")])
    assert "not comparable" not in html[: html.index("<footer>")]
    assert "human state of the art 63.85 %" in html
    assert '<tbody class="published">' in html[: html.index("Published results on")]


@pytest.mark.parametrize(("task", "family"), TASK_FAMILIES.items())
def test_a_board_of_every_family_shows_its_published_results(task: str, family: str) -> None:
    page = Page(index_of([make_run(task=task)]))
    best = anchor(family)
    assert best is not None
    assert f"human state of the art {100 * best.accuracy:.2f} %" in page.text
    assert f"All {len(results(family))} published results" in page.text
    assert page.text.count(FAMILY_NOTES.get(family, "no note")) == 2 * (family in FAMILY_NOTES)


def test_a_published_failure_is_no_number() -> None:
    html = index_of([make_run(task="pathx-v1", accuracy=0.7)])
    (cells,) = re.findall(r"<bdi>Transformer</bdi><span.*?</tr>", html, re.DOTALL)
    assert '<td class="number">fail</td>' in cells
    assert 'aria-label="at chance"' in cells
    assert "50.00" not in html


def test_an_empty_board_is_a_page() -> None:
    assert "No run has been recorded yet." in Page(index_of([])).text


def test_equal_runs_give_equal_bytes() -> None:
    assert site_of(full_contents("a")) == site_of(full_contents("a"))


def test_an_entry_whose_runs_are_missing_is_refused() -> None:
    runs = [make_run("a"), make_run("b")]
    contents = Contents(tuple(runs[1:]), (), {}, ())
    with pytest.raises(ValueError, match="expected every run of 'a' among the runs"):
        board_views(rank(runs, chance=CHANCE), contents)


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    site = make_site(Contents((), (), {}, ()), {}, title="old ≈")
    write_site(site, tmp_path)
    write_site(replace(site, title="new ≈"), tmp_path)
    assert "<bdi>new ≈</bdi>" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compare.html", "index.html"]
    with pytest.raises(DataError, match="choose another path"):
        write_site(site, tmp_path / "index.html")
