"""The site in headless Chromium: real clicks and keys, from files, with nothing from a network.

pip install -e '.[browser]' && apt-get install chromium && pytest -m slow tests/test_browser.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_records import make_dossier, make_run
from site_contents import full_contents

from leaderboards.contents import Contents
from leaderboards.dossiers import by_subject
from leaderboards.site import make_site, write_site
from lra_design.records import Point, Run

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
CHANCE = {"listops-mini": 0.2, "image-mini": 0.1}
MEANS = {"alpha": 0.40, "beta": 0.55, "gamma": 0.50}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM}"),
]


def make_runs() -> Iterator[Run]:
    """Three references on two tasks with five seeds each, a candidate in the other mode, and a copy
    of the best under another name."""
    for task, lift in (("listops-mini", 0.0), ("image-mini", 0.1)):
        for name, mean in MEANS.items():
            for seed in range(5):
                accuracy = mean + lift + seed / 500
                curve = tuple(_point(step, accuracy) for step in (5, 10, 13))
                source = f"def f(x):\n    return x + {mean}\n"
                run = make_run(name, seed, accuracy, task=task, curve=curve, source=source)
                yield run
                if name == "beta":
                    yield replace(
                        run,
                        run_id=f"copy {run.run_id}",
                        created_at="2026-02-03T04:05:06Z",
                        name="delta",
                        source_hash="hash-of-delta",
                        source=source.replace("x", "y"),
                    )
    yield make_run("epsilon", 0, 0.3, mode="bidirectional", origin="candidate", agent="evolution")


def _point(step: int, accuracy: float) -> Point:
    return Point(
        step=step, loss=1.0, gradient_norm=1.0, learning_rate=0.1, accuracy=accuracy, seconds=1.0
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    contents = Contents(tuple(make_runs()), (), by_subject([make_dossier("beta")]), ())
    write_site(make_site(contents, CHANCE, title="Leaderboard", notes=("A note.",)), folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """A page that asks for nothing but the site's files and has no complaint."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    context.close()
    assert complaints == []
    allowed = (f"{site.parent.as_uri()}/", "data:,")
    assert all(url.startswith(allowed) for url in asked), asked


def names(page: Any, board: int = 0) -> list[str]:
    """The mechanisms that a board shows, from top to bottom."""
    section = page.locator("section.board[data-task]:visible").nth(board)
    found: list[str] = section.locator("tbody:first-of-type th a:visible").all_inner_texts()
    return found


def open_index(page: Any, site: Path, place: str = "") -> None:
    page.goto(f"{(site / 'index.html').as_uri()}{place}")


def test_a_click_on_a_column_sorts_and_a_copy_stays_below_its_first(page: Any, site: Path) -> None:
    open_index(page, site)
    assert names(page) == ["beta", "delta", "gamma", "alpha"]
    heads = page.locator("table.entries").first.get_by_role("columnheader")
    heads.filter(has_text="Test, %").get_by_role("button").click()
    assert names(page) == ["beta", "delta", "gamma", "alpha"]
    heads.filter(has_text="Test, %").get_by_role("button").click()
    assert names(page) == ["alpha", "gamma", "beta", "delta"]
    heads.filter(has_text="Mechanism").get_by_role("button").click()
    assert names(page) == ["alpha", "beta", "delta", "gamma"]
    assert heads.filter(has_text="Mechanism").get_attribute("aria-sort") == "ascending"


def test_sorting_by_the_keyboard_alone(page: Any, site: Path) -> None:
    open_index(page, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    head = page.locator("table.entries").first.locator("th button", has_text="Mechanism")
    for _ in range(40):
        page.keyboard.press("Tab")
        if head.evaluate("button => button === document.activeElement"):
            break
    assert head.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert names(page) == ["alpha", "beta", "delta", "gamma"]


def test_filters_hide_boards_and_entries_and_stand_in_the_address(page: Any, site: Path) -> None:
    open_index(page, site)
    boards = page.locator("section.board[data-task]:visible")
    assert boards.count() == 3
    page.get_by_label("Task").select_option("image-mini")
    assert boards.count() == 1
    page.get_by_label("Search", exact=True).fill("gam")
    assert names(page) == ["gamma"]
    assert page.locator("#shown").inner_text() == "1 entry shown"
    page.wait_for_url("**/index.html#*task=image-mini*")
    assert "q=gam" in page.url
    page.get_by_role("button", name="Show all").click()
    assert boards.count() == 3
    page.get_by_label("By", exact=True).select_option("evolution")
    assert names(page) == ["epsilon"]


def test_an_address_brings_back_what_was_chosen(page: Any, site: Path) -> None:
    open_index(page, site, "#mode=causal&by=origin%3Areference&q=ALPHA")
    assert names(page, 0) == ["alpha"]
    assert page.locator("section.board[data-task]:visible").count() == 2
    assert page.get_by_label("Track").input_value() == "causal"


def test_a_board_can_be_linked_to(page: Any, site: Path) -> None:
    open_index(page, site)
    link = page.get_by_role("navigation").get_by_role("link").nth(2)
    target = link.get_attribute("href")
    link.click()
    assert page.url.endswith(target)
    assert page.locator("section.board[data-task]:visible").count() == 3
    top = page.locator(target).bounding_box()["y"]
    assert 0 <= top < 900
    page.reload()
    assert page.locator(target).bounding_box()["y"] < 900


def test_two_entries_side_by_side(page: Any, site: Path) -> None:
    open_index(page, site)
    page.locator("table.entries a", has_text="gamma").nth(1).click()
    page.get_by_role("link", name="hold it against another entry").click()
    assert not page.locator("#outcome").is_visible()
    first = page.get_by_label("First").locator("option:checked").inner_text()
    assert first.startswith("gamma")
    group = page.get_by_label("Second").locator(
        "optgroup[label='listops-mini · smoke · fixed · causal']"
    )
    page.get_by_label("Second").select_option(
        group.locator("option", has_text="alpha").get_attribute("value")
    )
    verdict = page.locator("#verdict").inner_text()
    assert "Over the 5 seeds that both have, the first minus the second is +10.00 points" in verdict
    cells = page.locator("#figures tr", has_text="Test, %").first.locator("td").all_inner_texts()
    assert cells == ["50.40", "40.40"]
    page.reload()
    assert page.locator("#verdict").inner_text() == verdict


def test_entries_of_different_boards_are_said_not_to_compare(page: Any, site: Path) -> None:
    page.goto((site / "compare.html").as_uri())
    for label, board in (("First", "listops"), ("Second", "image")):
        group = page.get_by_label(label).locator(f"optgroup[label^='{board}']").first
        value = group.locator("option").first.get_attribute("value")
        page.get_by_label(label).select_option(value)
    assert "not comparable" in page.locator("#verdict").inner_text()


def test_details_open_by_a_click(page: Any, site: Path) -> None:
    open_index(page, site)
    page.locator("table.entries a").first.click()
    table = page.get_by_role("table", name="Evaluations on the way")
    assert not table.is_visible()
    page.get_by_text("The same as a table").click()
    assert table.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(
    browser: Any, site: Path, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    opened = context.new_page()
    for path in sorted(site.rglob("*.html")):
        opened.goto(path.as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, path.name
        assert opened.evaluate(CONTRAST) >= 4.5, path.name
    context.close()


CONTRAST = """() => {
  const light = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255);
    probe.remove();
    const [r, g, b] = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const onBoth = ["--ink", "--soft", "--accent", "--key", "--string", "--num"];
  return Math.min(...onBoth.flatMap((name) => [ratio(name, "--paper"), ratio(name, "--card")]),
    ratio("--warn", "--warn-soft"), ratio("--ok", "--ok-soft"));
}"""
"""The least contrast of text against what it stands on, as WCAG 2.2 defines it."""


def test_without_javascript_everything_stands_there(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    open_index(opened, site)
    assert opened.locator("table.entries a:visible").count() == 9
    assert not opened.locator("#filters").is_visible()
    opened.get_by_role("link", name="Two entries side by side").click()
    assert opened.get_by_text("needs JavaScript").is_visible()
    context.close()


def test_hostile_text_runs_nothing(browser: Any, page: Any, tmp_path: Path) -> None:
    text = "\"></script><script>alert(1)</script><img src=x onerror='alert(1)'>"
    write_site(make_site(full_contents(text), CHANCE, title=text, notes=(text,)), tmp_path)
    context = browser.new_context()
    opened = context.new_page()
    said: list[str] = []
    opened.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    for path in sorted(tmp_path.rglob("*.html")):
        opened.goto(path.as_uri())
    opened.goto((tmp_path / "index.html").as_uri())
    opened.get_by_label("By", exact=True).select_option(index=3)
    assert opened.locator("section.board[data-task]:visible").count() == 2
    context.close()
    assert said == []
