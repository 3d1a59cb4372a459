"""The page: hostile text stays text, nothing is loaded from anywhere, and it says what is known."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaderboards.page import render_page, write_page

from leaderboards.human import FAMILY_NOTES, TASK_FAMILIES, anchor, results
from leaderboards.scores import rank
from lra_design.errors import DataError
from lra_design.records import (
    Finding,
    Hardware,
    HostConfig,
    IsolationRecord,
    Limits,
    Run,
    Score,
    TrainConfig,
    Usage,
    Versions,
)
from lra_design.visible import visible_text

CHANCE = {"listops-v1": 0.17, "listops-mini": 0.2}
VOID = {"meta", "link", "br"}
"""Elements of the page that have no end tag."""
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


def make_run(
    text: str = "softmax",
    *,
    seed: int = 0,
    accuracy: float | None = 0.5,
    task: str = "listops-mini",
    split_hash: str | None = None,
) -> Run:
    """A run that has `text` in every field that holds free text."""
    score = Score(
        task=task,
        split="test",
        split_hash=text if split_hash is None else split_hash,
        accuracy=0.0 if accuracy is None else accuracy,
        num_examples=401,
        num_labels=401,
    )
    finding = Finding(
        check=text,
        name=text,
        tier="warning",
        expected=text,
        found=text,
        likely_cause=text,
        hint=text,
        where=text,
    )
    return Run(
        run_id=f"{text}-{task}-{seed}",
        created_at=text,
        name=text,
        origin="candidate",
        agent=text,
        source=text,
        source_hash=text,
        task=task,
        scale="smoke",
        setting="fixed",
        mode="causal",
        host=HostConfig(
            d_model=7, num_heads=1, num_layers=2, d_mlp=11, causal=True, positions="none"
        ),
        train=TrainConfig(
            num_steps=13, batch_size=3, learning_rate=1e-3, weight_decay=0.0, evaluate_every=5
        ),
        hyperparameters={text: text},
        seed=seed,
        num_parameters=1009,
        validation=None,
        test=None if accuracy is None else score,
        findings=(finding,),
        usage=Usage(seconds=1.5, cpu_seconds=1.25, peak_memory_bytes=2**20),
        isolation=IsolationRecord(
            level="standard",
            landlock_abi=5,
            seccomp=True,
            dropped_uid=True,
            self_test_passed=True,
            gaps=(text,),
            limits=Limits(),
        ),
        hardware=Hardware(machine=text, processor=text, num_cpus=2, device=text, num_threads=1),
        versions=Versions(lra_design=text, contract=text, python=text, torch=text),
    )


def page_of(runs: list[Run], *, title: str = "Leaderboard", notes: tuple[str, ...] = ()) -> str:
    return render_page(rank(runs, chance=CHANCE), runs, title=title, notes=notes)


class Page(HTMLParser):
    """What a browser would see: elements, attributes, texts; refuses what is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.content: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("script", "style"):
            self.content[self.open[-1]] = self.content.get(self.open[-1], "") + data

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


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_stays_text(text: str) -> None:
    hostile = Page(page_of([make_run(text)], title=text, notes=(text,)))
    benign = Page(page_of([make_run("softmax")], title="Leaderboard", notes=("note",)))
    assert hostile.shape == benign.shape
    assert hostile.content == benign.content
    assert hostile.text.count(visible_text(text)) >= 15


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1))
def test_no_text_at_all_changes_the_pages_elements(text: str) -> None:
    page = Page(page_of([make_run(text)], title=text, notes=(text,)))
    benign = Page(page_of([make_run("softmax")], title="Leaderboard", notes=("note",)))
    assert page.shape == benign.shape
    assert not set(page.text) & set("\x00\x1b\u202e\u2066\ud800")


def test_a_hostile_task_id_stays_text() -> None:
    page = Page(page_of([make_run(task="<script>alert(1)</script>")]))
    assert [tag for tag, _ in page.elements].count("script") == 1


def test_nothing_is_loaded_from_anywhere() -> None:
    html = page_of([make_run(), make_run(task="listops-v1")])
    page = Page(html)
    for name in ("src", "srcset", "action", "data", "style", "onclick", "onload", "http"):
        assert page.attributes(name) == []
    assert all(link.startswith(("#", "data:,")) for link in page.attributes("href"))
    assert not {"img", "iframe", "object", "embed", "form", "base"} & {t for t, _ in page.elements}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", html)


def test_the_policy_allows_exactly_the_pages_own_style_and_script() -> None:
    page = Page(page_of([make_run()]))
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
    page = Page(page_of([make_run("a"), make_run("b"), make_run("c", task="listops-v1")]))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in page.attributes("href") if link.startswith("#")]
    assert len(targets) == 3
    assert set(targets) | set(page.attributes("aria-labelledby")) <= set(ids)


def test_entries_stand_in_their_order_and_missing_scores_are_dashes() -> None:
    runs = [
        make_run("lower", accuracy=0.3, split_hash="same"),
        make_run("unscored", accuracy=None),
        make_run("higher", accuracy=0.6, split_hash="same"),
    ]
    html = page_of(runs)
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    assert re.findall(r'href="#entry-1-\d"><bdi>(\w+)</bdi>', body) == [
        "higher",
        "lower",
        "unscored",
    ]
    last_row = body[body.rindex("<tr") :]
    assert '<td class="number">–</td><td class="chart soft small">not scored yet</td>' in last_row
    assert "0.0" not in last_row
    assert "None" not in Page(html).text


def test_every_bar_lies_on_its_axis_and_says_its_numbers() -> None:
    runs = [make_run(f"m{i}", accuracy=share) for i, share in enumerate((0.0, 0.4, 1.0))]
    html = page_of([*runs, make_run("full", accuracy=0.6, task="listops-v1")])
    places = [float(x) for x in re.findall(r'\b(?:x1|x2|cx|x)="([-\d.]+)"', html)]
    assert len(places) > 40
    assert min(places) >= 0
    assert max(places) <= 240
    assert 'aria-label="40.0 %, 95 % interval 35.3 to 44.9 %"' in html


def test_published_results_are_marked_not_comparable_beside_a_smaller_task() -> None:
    html = page_of([make_run()])
    assert "listops-v1, not comparable" in html
    assert "There is no published result at the size of" in html
    assert "B2S6 paper, table 3" in html
    assert '<tbody class="published">' not in html[: html.index("For orientation only")]


def test_published_results_stand_in_the_table_of_their_own_task() -> None:
    html = page_of([make_run(task="listops-v1")])
    assert "not comparable" not in html
    assert "human state of the art 63.85 %" in html
    assert '<tbody class="published">' in html[: html.index("Entries in detail")]


@pytest.mark.parametrize(("task", "family"), TASK_FAMILIES.items())
def test_a_board_of_every_family_shows_its_published_results(task: str, family: str) -> None:
    page = Page(page_of([make_run(task=task)]))
    best = anchor(family)
    assert best is not None
    assert f"human state of the art {100 * best.accuracy:.2f} %" in page.text
    assert f"All {len(results(family))} published results" in page.text
    assert page.text.count(FAMILY_NOTES.get(family, "no note")) == 2 * (family in FAMILY_NOTES)


def test_a_published_failure_is_no_number() -> None:
    html = page_of([make_run(task="pathx-v1", accuracy=0.7)])
    (cells,) = re.findall(r"<bdi>Transformer</bdi><span.*?</tr>", html, re.DOTALL)
    assert '<td class="number">fail</td>' in cells
    assert 'aria-label="at chance"' in cells
    assert "50.00" not in html


def test_an_empty_board_is_a_page() -> None:
    assert "No run has been recorded yet." in Page(page_of([])).text


def test_equal_runs_give_equal_bytes() -> None:
    runs = [make_run("a"), make_run("b", task="listops-v1")]
    assert page_of(runs) == page_of(runs)


def test_an_entry_whose_runs_are_missing_is_refused() -> None:
    runs = [make_run("a"), make_run("b")]
    with pytest.raises(ValueError, match="expected every run of 'a' among the runs"):
        render_page(rank(runs, chance=CHANCE), runs[1:], title="", notes=())


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "board.html"
    write_page(path, "old ≈")
    write_page(path, "new ≈")
    assert path.read_text(encoding="utf-8") == "new ≈"
    with pytest.raises(DataError, match="choose another path"):
        write_page(path / "board.html", "new")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(DataError, match="choose another path"):
        write_page(tmp_path / "folder.html", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["board.html", "folder.html"]
