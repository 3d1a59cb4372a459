"""How long the site takes with 1,000 entries and 20,000 attempts: to write, and to open.

    python benchmarks/site_pages.py [--folder FOLDER] [--opens 7]

The entries are 100 mechanisms on ten tasks, five seeds each, made from the records that the project
ships; scores, curves and costs are drawn, sources are those of the references with a line added.
Opening needs the extra `browser` and Debian's Chromium: the time from the request to the end of the
load event and to the first paint, of the page as a file, and the processor time of its main thread,
which other programs on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.contents import Contents, Search
from leaderboards.dossiers import Dossier, by_subject
from leaderboards.site import make_site, write_site
from leaderboards.store import Store
from lra_design.records import (
    Attempt,
    Exponent,
    Feedback,
    Finding,
    Point,
    Proposal,
    Run,
    Scaling,
    ScalingPoint,
    Score,
    Spending,
    ValidationReport,
)
from mechanisms import REFERENCES, reference_source
from tasks.registry import TASKS

TASK_IDS = (
    "listops-v1",
    "text-v1",
    "retrieval-v1",
    "image-v1",
    "pathfinder32-v1",
    "pathx-v1",
    "listops-mini",
    "text-mini",
    "image-mini",
    "pathfinder-mini",
)
SEEDS = range(5)
EVALUATIONS = 20
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


def make_contents(num_mechanisms: int = 100, num_attempts: int = 20_000) -> Contents:
    """Contents of that size, equal every time."""
    chance = random.Random(0)
    template = Store(Path(__file__).parents[1] / "leaderboards" / "reproduced").runs()[0]
    sources = [_source(number) for number in range(num_mechanisms)]
    runs = tuple(
        run
        for number, source in enumerate(sources)
        for task in TASK_IDS
        for run in _runs(template, number, source, task, chance)
    )
    dossiers = by_subject(_dossier(template, source, chance) for source in sources)
    return Contents(runs, (), dossiers, tuple(_searches(template, sources, num_attempts, chance)))


def _source(number: int) -> str:
    name = REFERENCES[number % len(REFERENCES)]
    return f"{reference_source(name)}\n\nVERSION_{number} = {number}\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _runs(
    template: Run, number: int, source: str, task: str, chance: random.Random
) -> Iterator[Run]:
    level = TASKS[task].chance + (0.85 - TASKS[task].chance) * chance.random()
    for seed in SEEDS:
        accuracy = min(1.0, max(0.0, chance.gauss(level, 0.01)))
        yield replace(
            template,
            run_id=_hash(f"{number} {task} {seed}"),
            name=f"{REFERENCES[number % len(REFERENCES)]}-{number}",
            origin="candidate",
            agent=f"agent-{number % 7}",
            source=source,
            source_hash=_hash(source),
            task=task,
            scale="small",
            seed=seed,
            num_parameters=60_000 + 700 * number,
            validation=_score(task, "validation", accuracy),
            test=_score(task, "test", accuracy),
            curve=tuple(_point(step, accuracy, chance) for step in range(1, EVALUATIONS + 1)),
            usage=replace(template.usage, seconds=chance.uniform(50, 900)),
        )


def _score(task: str, split: str, accuracy: float) -> Score:
    return Score(
        task=task,
        split="test" if split == "test" else "validation",
        split_hash=_hash(f"{task} {split}"),
        accuracy=accuracy,
        num_examples=2000,
        num_labels=2000,
    )


def _point(step: int, accuracy: float, chance: random.Random) -> Point:
    return Point(
        step=100 * step,
        loss=2 / step,
        gradient_norm=chance.random(),
        learning_rate=1e-3 / step,
        accuracy=accuracy * (1 - 0.6**step),
        seconds=float(step),
    )


def _report(template: Run, source: str, finding: Finding | None = None) -> ValidationReport:
    return ValidationReport(
        mechanism="Mixer",
        source_hash=_hash(source),
        mode=template.mode,
        findings=(finding,) if finding else (),
        checks=(),
        battery="full",
        num_parameters=7,
        scaling=None,
        search_space={},
        replay_token="2a",
        seconds=1.0,
        isolation=None,
        versions=template.versions,
    )


def _dossier(template: Run, source: str, chance: random.Random) -> Dossier:
    power = chance.choice((1.0, 2.0))
    lengths = (256, 512, 1024, 2048, 4096)
    factor = chance.uniform(0.5, 2)
    scaling = Scaling(
        points=tuple(
            ScalingPoint(
                seq_len=length,
                flops=1e4 * factor * length**power,
                peak_memory_bytes=factor * 900 * length**power,
                seconds=1e-6 * length**power,
            )
            for length in lengths
        ),
        exponents=(Exponent(quantity="flops", value=power, low=power - 0.05, high=power + 0.05),),
        claimed=power,
    )
    neighbours = tuple(
        Neighbour(
            name=name,
            mode=template.mode,
            distance=chance.uniform(0.5, 9.0),
            copy=None,
            shared_structure=chance.random(),
        )
        for name in REFERENCES[:10]
    )
    certificate = replace(_report(template, source), scaling=scaling)
    return Dossier(
        certificate=certificate,
        neighbours=tuple(sorted(neighbours, key=lambda one: one.distance)),
        same_below=1.3,
    )


def _searches(
    template: Run, sources: list[str], num_attempts: int, chance: random.Random
) -> Iterator[Search]:
    finding = Finding(
        check="LRA201",
        name="causal",
        tier="error",
        expected="no output depends on later inputs",
        found="output 3 changed with input 7",
        likely_cause="a mean over all positions",
        hint="take the mean over earlier positions",
    )
    for number in range(10):
        attempts = tuple(
            _attempt(template, i, sources[(number + 10 * i) % len(sources)], finding, chance)
            for i in range(num_attempts // 10)
        )
        settings = {"policy": f"policy-{number % 5}", "llm": None}
        yield Search(f"search-{number}", Path("journal.sqlite"), settings, attempts)


def _attempt(
    template: Run, index: int, source: str, finding: Finding, chance: random.Random
) -> Attempt:
    parent = _hash(_source(index % 90))
    report = _report(template, source, finding if chance.random() < 0.4 else None)
    return Attempt(
        index=index,
        source_hash=_hash(source),
        code_hash=_hash(source),
        proposal=Proposal(
            source=source, change="a line more", operator="mutate", parents=(parent,)
        ),
        feedback=Feedback(report=report),
        created_at=template.created_at,
        spent=Spending(),
    )


def open_times(page: Path, times: int) -> list[tuple[float, ...]]:
    """Milliseconds to the end of the load event and to the first paint, and those of processor time
    that the page's main thread took; each time anew."""
    from playwright.sync_api import sync_playwright

    script = (
        "() => [performance.getEntriesByType('navigation')[0].loadEventEnd,"
        " performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1]"
    )
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for _ in range(times):
            opened = browser.new_context().new_page()
            session = opened.context.new_cdp_session(opened)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            opened.goto(page.resolve().as_uri(), wait_until="load")
            opened.wait_for_timeout(300)
            metrics = session.send("Performance.getMetrics")["metrics"]
            busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
            found.append((*opened.evaluate(script), 1000 * busy))
            opened.close()
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--opens", type=int, default=7)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="site-"))
    contents = make_contents()
    start = time.perf_counter()
    site = make_site(contents, {t.id: t.chance for t in TASKS.values()}, title="Leaderboard")
    made = time.perf_counter()
    write_site(site, folder)
    written = time.perf_counter()
    print(f"ranked in {made - start:.1f} s, written in {written - made:.1f} s, to {folder}")
    for name in ("index.html", "compare.html"):
        size = (folder / name).stat().st_size
        print(f"{name}: {size / 2**20:.2f} MiB")
        if asked.opens:
            found = zip(*open_times(folder / name, asked.opens), strict=True)
            for title, values in zip(("load", "first paint", "processor"), found, strict=True):
                print(f"  {title}: {median(values):.0f} ms, at best {min(values):.0f}")


if __name__ == "__main__":
    main()
