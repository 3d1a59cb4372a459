"""The pages of searches: what was tried is all there, in its place, and stays text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape import ToyOperators, feedback_with, run, score_of, toy_evaluation
from run_records import make_run

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm.protocol import Prompt, Reply, TokenUsage, Turn
from agent_sandbox.agents.llm.remembered import Exchange
from agent_sandbox.agents.policies import get_policy
from agent_sandbox.agents.policy_agent import PolicyAgent
from agent_sandbox.agents.search import hash_source
from leaderboards.contents import Contents, Search, read_contents
from leaderboards.site import make_site, pages
from leaderboards.site.attempts import MAX_CHARACTERS, MAX_EXCHANGES
from leaderboards.site.searches import operator_rows, search_views
from leaderboards.site.tree import RADIUS, STEP_X, STEP_Y, make_tree
from leaderboards.store import Store
from lra_design.records import Attempt, CheckRun, Finding, Proposal, Spending, to_json
from lra_design.visible import visible_text

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)></a></title></pre></svg>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202egnitirw\x1b[31m\x00",
    "x" * 5003,
]
VOID = {"meta", "link", "br", "input"}


class Page(HTMLParser):
    """What a browser would see; refuses what is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.values: dict[str, list[str]] = {}
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["script"], ["style"]):
            self.text += data


def attempt(
    index: int,
    source: str = "",
    *,
    parents: Sequence[str] = (),
    accuracy: float | None = None,
    valid: bool = True,
    text: str = "text",
    **spent: float | None,
) -> Attempt:
    """An attempt that has `text` in every field that an agent writes, and others."""
    source = source or f"{text} = {index}\n"
    finding = Finding(
        check=text,
        name=text,
        tier="warning" if valid else "error",
        expected=text,
        found=text,
        likely_cause=text,
        hint=text,
        where=text,
    )
    check = CheckRun(check="LRA201", name="shape", num_cases=3, num_findings=0, seconds=0.5)
    scores = () if accuracy is None else (score_of(text, accuracy),)
    feedback = feedback_with(source, scores)
    report = replace(feedback.report, mechanism=text, findings=(finding,), checks=(check,))
    return Attempt(
        index=index,
        source_hash=hash_source(source.encode("utf-8", "replace").decode()),
        code_hash=f"code-{index}",
        proposal=Proposal(
            source=source,
            change=text,
            operator=text,
            parents=tuple(parents),
            parts=(text,),
            notes={text: text},
        ),
        feedback=replace(feedback, report=report, failure=None if scores else finding),
        created_at=text,
        spent=Spending(**spent),  # type: ignore[arg-type]
    )


def history(parents: Sequence[Sequence[int]]) -> list[Attempt]:
    """Attempts with these parents, by index."""
    hashes = [f"hash-{index}" for index in range(len(parents))]
    return [
        replace(
            attempt(index, parents=[hashes[parent] for parent in known]), source_hash=hashes[index]
        )
        for index, known in enumerate(parents)
    ]


def families() -> st.SearchStrategy[list[list[int]]]:
    """Parents of each attempt: up to two of those before it, and often the one just before."""

    def grown(choices: list[tuple[int, list[int]]]) -> list[list[int]]:
        found: list[list[int]] = []
        for index, (number, picks) in enumerate(choices):
            known = [max(0, index - 1 - pick % (index + 1)) for pick in picks[:number]]
            found.append(known if index else [])
        return found

    picks = st.lists(st.integers(0, 60), min_size=2, max_size=2)
    return st.lists(st.tuples(st.integers(0, 2), picks), max_size=60).map(grown)


@settings(max_examples=40, deadline=None)
@given(families())
def test_no_two_attempts_overlap_and_children_stand_right_of_all_their_parents(
    parents: list[list[int]],
) -> None:
    tree = make_tree(history(parents))
    places = {(node.generation, node.row) for node in tree.nodes}
    assert len(places) == len(tree.nodes) == len(parents)
    assert min(STEP_X, STEP_Y) > 2 * (RADIUS + 2)
    for node in tree.nodes:
        assert node.parents == tuple(dict.fromkeys(parents[node.index]))
        assert all(tree.nodes[parent].x < node.x for parent in node.parents)
        assert not node.parents or tree.nodes[node.parents[0]].y <= node.y
        assert RADIUS < node.x < tree.width - RADIUS
        assert RADIUS < node.y < tree.height - RADIUS
    assert len(tree.lines) == sum(len(node.parents) for node in tree.nodes)


@settings(max_examples=30, deadline=None)
@given(families())
def test_no_line_from_a_first_parent_passes_through_another_attempt(
    parents: list[list[int]],
) -> None:
    nodes = make_tree(history(parents)).nodes
    for node in nodes:
        for parent in (nodes[index] for index in node.parents[:1]):
            down = {(parent.x, y) for y in range(parent.y + 1, node.y)}
            across = {(x, node.y) for x in range(parent.x + (parent.y == node.y), node.x)}
            assert not (down | across) & {(other.x, other.y) for other in nodes}


def test_a_line_of_descent_as_long_as_the_search_and_one_that_loops() -> None:
    tree = make_tree(history([[], *([index] for index in range(1999))]))
    assert (tree.nodes[-1].generation, tree.nodes[-1].row) == (1999, 0)
    odd = [attempt(0, "a\n", parents=[hash_source("a\n"), hash_source("b\n"), "none"])]
    odd.append(attempt(1, "b\n", parents=[hash_source("a\n")] * 2))
    assert [node.parents for node in make_tree(odd).nodes] == [(), (0,)]


def test_the_way_to_the_best_is_marked() -> None:
    tries = [
        attempt(0, "a\n", accuracy=0.2),
        attempt(1, "b\n", parents=[hash_source("a\n")], valid=False),
        attempt(2, "c\n", parents=[hash_source("b\n")], accuracy=0.6),
        attempt(3, "d\n", accuracy=0.6),
    ]
    tree = make_tree(tries)
    assert [node.outcome for node in tree.nodes] == ["scored", "invalid", "scored", "scored"]
    assert [node.on_best_path for node in tree.nodes] == [True, True, True, False]
    assert [line.on_best_path for line in tree.lines] == [True, True]


def test_operators_are_compared_by_what_they_gain() -> None:
    a, b = hash_source("a\n"), hash_source("b\n")
    tries = [
        attempt(0, "a\n", text="draft", accuracy=0.2),
        attempt(1, "b\n", text="draft", accuracy=0.5),
        attempt(2, "c\n", text="mix", parents=[a, b], accuracy=0.6),
        attempt(3, "d\n", text="mix", parents=[a], accuracy=0.1),
        attempt(4, "e\n", text="mix", parents=[a], valid=False),
    ]
    mix, draft = operator_rows(tries)
    assert (mix.operator, mix.num_attempts, mix.num_valid, mix.num_scored) == ("mix", 3, 2, 2)
    assert mix.mean_gain == pytest.approx(0.0)
    assert (mix.num_gains, draft.num_attempts, draft.mean_gain) == (2, 2, None)


def search(tries: Sequence[Attempt], name: str = "one", **asked: object) -> Search:
    return Search(name=name, journal=Path("none"), settings=asked, attempts=tuple(tries))


def test_scores_over_what_was_spent_and_what_is_left() -> None:
    tries = [
        attempt(0, device_seconds=3.0, tokens=7),
        attempt(1, accuracy=0.5, device_seconds=5.0, tokens=11),
        attempt(2, accuracy=0.4, device_seconds=2.0, tokens=None, dollars=None),
    ]
    budget = {"attempts": 3, "device_seconds": 20.0, "dollars": 1.0}
    (view,) = search_views([search(tries, budget=budget)])
    by_attempts, by_seconds, by_tokens = view.curves
    assert by_attempts.amounts == (1, 2, 3)
    assert (by_seconds.amounts, by_seconds.best) == ((3.0, 8.0, 10.0), (None, 0.5, 0.5))
    assert by_tokens.amounts == ()
    assert view.budget is not None
    assert view.budget.left(view.spent) == {"attempts": 0, "device_seconds": 10.0}
    assert view.ended == "attempts: 3 of 3 are spent"
    (unknown,) = search_views([search(tries[:1], budget="much")])
    assert (unknown.budget, unknown.ended, unknown.best) == (None, None, None)


def test_searches_that_say_the_same_of_themselves_have_pages_of_their_own() -> None:
    views = search_views([search([]), search([attempt(0)]), search([], policy="greedy")])
    assert len({view.key for view in views}) == 3
    assert search_views([search([attempt(0)])])[0].key == views[0].key  # it may grow


def exchange(text: str, *, replies: Sequence[str] = ()) -> str:
    """The next exchange after those with `replies`."""
    turns: list[Turn] = []
    for known in replies:
        turns += [Turn(role="user", text=f"ask {text}"), Turn(role="assistant", text=known)]
    turns.append(Turn(role="user", text=f"next {text}"))
    usage = TokenUsage(uncached=3, cache_read=0, cache_write=0, output=4, reasoning=None)
    reply = Reply(text=text, usage=usage, llm=text, stop="end", seconds=1.0, num_requests=1)
    prompt = Prompt(system=f"system {text}", turns=tuple(turns), max_output_tokens=99)
    return to_json(Exchange(prompt=prompt, reply=reply))


def hostile_site(folder: Path, text: str) -> dict[str, Page]:
    """Every page of a board and a search that have `text` wherever a stranger writes."""
    place = folder / "run"
    kept = Journal(place / "journal.sqlite")
    source = f"{text} = 1\n".encode("utf-8", "replace").decode()
    first = attempt(0, source, text=text, accuracy=0.25)
    second = attempt(1, f"{source}# more\n", text=text, parents=[first.source_hash])
    for one in (first, second):
        kept.append(one)
    kept.keep_exchange(0, text, exchange(text))
    winner = replace(make_run("name", 0, 0.5), source_hash=first.source_hash, name=text)
    Store(place / "board").append(winner)
    found = read_contents([folder])
    asked = {"agent": None, "llm": text, "policy": text, text: [text]}
    found = replace(found, searches=(replace(found.searches[0], name=text, settings=asked),))
    site = make_site(found, {}, title=text)
    site = replace(site, searches=(replace(site.searches[0], key="one"),))
    return {path: Page(page()) for path, page in sorted(pages(site).items())}


def shapes(found: dict[str, Page]) -> dict[str, object]:
    """The elements of each page of a search."""
    return {path: page.shape for path, page in found.items() if path.startswith("searches/")}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_stays_text(tmp_path: Path, text: str) -> None:
    hostile, benign = hostile_site(tmp_path / "a", text), hostile_site(tmp_path / "b", "benign")
    assert len(shapes(hostile)) == 3
    assert shapes(hostile) == shapes(benign)
    for page in hostile.values():
        assert not set(page.text) & set("\x00\x1b\u202e")
        assert not any(link.startswith("javascript") for link in page.values["href"])
    name = visible_text(text[:59])
    assert all(name in page.text for path, page in hostile.items() if path.startswith("searches/"))
    assert name in hostile["index.html"].text


def test_all_links_lead_to_pages_and_ids_are_unique(tmp_path: Path) -> None:
    found = hostile_site(tmp_path, "benign")
    for path, page in found.items():
        ids = page.values.get("id", [])
        assert len(ids) == len(set(ids))
        for link in page.values["href"]:
            file, _, place = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
            if not file:
                assert place in ids
            elif not link.startswith("data:"):
                assert target in found
    (first,) = (page for path, page in found.items() if path.endswith("/0.html"))
    assert "listops-mini" in first.text
    assert "no entry has this source" not in first.text
    (second,) = (page for path, page in found.items() if path.endswith("one/1.html"))
    assert "no entry has this source" in second.text


def test_an_attempt_says_everything_once(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "journal.sqlite")
    kept.append(attempt(0, "before\nsame\n"))
    kept.append(attempt(1, "after\nsame\n", parents=[hash_source("before\nsame\n")]))
    kept.keep_exchange(1, "a", exchange("one"))
    kept.keep_exchange(1, "a", exchange("one", replies=["one"]))
    kept.keep_exchange(1, "b", '{"odd": 1}')
    site = make_site(read_contents([tmp_path]), {}, title="t")
    html = next(page() for path, page in pages(site).items() if path.endswith("/1/1.html"))
    text = Page(html).text
    assert text.count("system one") == text.count("ask one") == text.count("next one") == 1
    assert "7 tokens" in text
    assert '{"odd": 1}' in text
    assert re.search(
        r'<span class="d-removed">-before\s*</span><span class="d-added">\+after', html
    )
    assert "test split" not in text


def test_gigantic_texts_are_cut_and_the_page_says_so(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "journal.sqlite")
    kept.append(attempt(0, "x" * (MAX_CHARACTERS + 5)))
    again = attempt(1, "y" * 7, parents=[kept.attempts()[0].source_hash])
    kept.append(again)
    kept.keep_exchange(1, "", exchange("z" * 3_000_000))
    for _ in range(MAX_EXCHANGES):
        kept.keep_exchange(1, "", exchange("short"))
    site = make_site(read_contents([tmp_path]), {}, title="t")
    first, second = (page() for path, page in pages(site).items() if path.count("/") == 2)
    assert "[5 more characters are left out here" in first
    assert "[2,900,000 more characters are left out here" in second
    assert "1 more exchanges are left out" in second
    assert "Too long to be compared here." in second
    assert len(first) + len(second) < 600_000


def test_a_missing_cost_is_not_zero(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.sqlite").append(attempt(0, tokens=None, dollars=None))
    site = make_site(read_contents([tmp_path]), {}, title="t")
    found = {path: Page(page()).text for path, page in pages(site).items()}
    texts = [text for path, text in found.items() if path.startswith("searches/")]
    assert all(text.count("not known") >= 2 for text in texts)
    assert "$0.00" not in "".join(texts)


def test_an_agents_own_files_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/design.json").write_text("{}")
    Store(tmp_path / "run/workspace/deep").append(make_run("forged", 0, 1.0))
    Store(tmp_path / "run/board").append(make_run("real", 0, 0.5))
    assert [run.name for run in read_contents([tmp_path]).runs] == ["real"]


@pytest.mark.slow
def test_a_search_of_500_attempts_is_one_page() -> None:
    agent = PolicyAgent(get_policy("evolutionary", seed=1), ToyOperators(1))
    views = search_views([search(run(agent, toy_evaluation(1), 500))])
    site = replace(make_site(Contents((), (), {}, ()), {}, title="t"), searches=views)
    html = next(page() for path, page in pages(site).items() if path.count("/") == 1)
    assert html.count("<title>attempt ") == 500
    assert len(html) < 1_000_000
