"""`lra-design data`: what the tasks are made of, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from lra_design.cli.display import Display
    from tasks.probes.probe import Probe
    from tasks.splits.audit import Audit
    from tasks.task import Task

LIST_WIDTH = 80
"""Columns the list needs; a narrower terminal wraps its lines."""
TASK_COLUMNS = ("task", "train", "val.", "test", "longest", "classes", "chance", "data")
PROBE_COLUMNS = ("probe", "longest", "chance", "level", "range", "what a level is")
TEXT_COLUMNS = ("task", "data", "probe", "what a level is")
task_argument = click.argument("task_id", metavar="TASK")


@click.group(context_settings={"max_content_width": 100})
def data() -> None:
    """List, prepare, show and verify the data of the tasks.

    Generated tasks are made on first use; `prepare` makes them beforehand. Tasks from files need
    `prepare` once.
    """


@data.command("list", short_help="Every task and probe, and whether its data is here.")
@json_option
def list_tasks(as_json: bool) -> None:
    """List every task and probe: its sizes, its chance level, and whether its data is here."""
    from tasks.probes import PROBES
    from tasks.registry import listed_tasks

    tasks = listed_tasks()
    if as_json:
        click.echo(json.dumps([_facts(task) for task in tasks], indent=2, sort_keys=True))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(console.width, LIST_WIDTH)
    console.print(_table(TASK_COLUMNS, [_cells(task) for task in tasks if not task.probe]))
    click.echo("\nAny of them that labels examples takes a window: listops-v1-window64\n")
    console.print(_table(PROBE_COLUMNS, [_probe_cells(probe) for probe in PROBES.values()]))
    click.echo("\nA probe takes any level in its range: delay-probe-1000")


@data.command(short_help="Make the splits of tasks, so that nothing is missing later.")
@click.argument("task_ids", metavar="TASK...", nargs=-1, required=True)
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True),
    help="File or folder with your copy of the data, for a task that is read from files. Without "
    "it the data is downloaded, where that is possible.",
)
@click.option(
    "--unverified",
    is_flag=True,
    help="Take a source whose checksum is not the pinned one. Its splits say so, and their hash, "
    "printed with every score, is another.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Processes to generate with. The examples do not depend on it.  [default: one per "
    "processor where that pays]",
)
@json_option
def prepare(
    task_ids: tuple[str, ...],
    source: Path | None,
    unverified: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Make the splits of TASK.

    Interrupted, it goes on where it stopped; what is there is not made again; several that run at
    once do the work once.
    """
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import prepare_shown
    from tasks.registry import get_task
    from tasks.splits.preparation import Preparation

    tasks = [get_task(id) for id in task_ids]
    for task in tasks:
        if (source or unverified) and task.draw:
            raise UsageError(
                f"{task.id} is generated here and takes no source. Released files of the same kind "
                "are a task of their own, where there are any: see `lra-design data list`."
            )
    display, how = Display(), Preparation(source=source, unverified=unverified, num_workers=workers)
    with display.showing():
        for task in tasks:
            prepare_shown(task, how, display)
            _say_hashes(task, display)
    if as_json:
        click.echo(json.dumps([_facts(task) for task in tasks], indent=2, sort_keys=True))


@data.command(short_help="Print examples of a task's training split.")
@task_argument
@click.option(
    "-n",
    "number",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="How many examples to print.",
)
@json_option
def show(task_id: str, number: int, as_json: bool) -> None:
    """Print the first examples of TASK's training split; the held-out splits stay sealed."""
    from tasks.registry import get_task
    from tasks.splits.readable import readable_example
    from tasks.splits.storage import load_split

    task = get_task(task_id)
    examples = load_split(task, "train")
    shown = [readable_example(task, examples, i) for i in range(min(number, len(examples)))]
    if as_json:
        rows = [{"inputs": inputs, "label": label} for inputs, label in shown]
        click.echo(json.dumps(rows, indent=2))
        return
    for i, (inputs, label) in enumerate(shown):
        click.echo(f"example {i}, label {label}")
        for text in inputs:
            click.echo(visible_text(text) + "\n")


@data.command(short_help="Read all splits of a task again, and count what they hold.")
@task_argument
@json_option
def verify(task_id: str, as_json: bool) -> None:
    """Read all splits of TASK again: hashes, ranges, repeated examples, what splits share.

    A split that is not what it says is an error (exit code 3).
    """
    from lra_design.records import to_json
    from tasks.registry import get_task
    from tasks.splits.audit import audit

    found = audit(get_task(task_id))
    click.echo(to_json(found, indent=2) if as_json else _report(found))


def _say_hashes(task: Task, display: Display) -> None:
    from tasks.splits.storage import describe_split
    from tasks.task import SPLIT_NAMES

    for split in SPLIT_NAMES:
        stored = describe_split(task, split)
        mark = "" if stored.verified else "  UNVERIFIED"
        display.say(f"{task.id}/{split}: {stored.num_examples} examples, {stored.sha256}{mark}")


def _facts(task: Task) -> dict[str, Any]:
    """What is said of a task, as JSON has it."""
    from tasks.splits.storage import is_prepared
    from tasks.task import SPLIT_NAMES

    plain = ("id", "title", "num_classes", "labels", "max_seq_len", "sizes", "chance", "metric")
    more = ("documents", "first_id", "window", "normalisation", "probe", "generator")
    sources = ("source", "licence", "citation", "hashes")
    return {
        **{name: getattr(task, name) for name in (*plain, *more, *sources)},
        "vocab_size": len(task.vocabulary),
        "splits_of": task.splits_of.id if task.splits_of else None,
        "generated": task.draw is not None,
        "prepared": all(is_prepared(task, split) for split in SPLIT_NAMES),
    }


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        left, last = column in TEXT_COLUMNS, column == columns[-1]
        table.add_column(column, justify="left" if left else "right", no_wrap=not last)
    for row in rows:
        table.add_row(*row)
    return table


def _cells(task: Task) -> list[str]:
    fact = _facts(task)
    state = "here" if fact["prepared"] else "first use" if task.draw else "to prepare"
    longest = f"{task.documents}x" if task.documents > 1 else ""
    return [
        task.id,
        *(f"{size:,}" for size in task.sizes.values()),
        f"{longest}{task.max_seq_len:,}",
        str(task.num_classes),
        f"{100 * task.chance:.1f} %",
        state,
    ]


def _probe_cells(probe: Probe) -> list[str]:
    default = probe.make(probe.default)
    return [
        probe.id,
        f"{default.max_seq_len:,}",
        f"{100 * default.chance:.1f} %",
        f"{probe.default:,}",
        f"{probe.low:,} to {probe.high:,}",
        probe.dial,
    ]


def _report(found: Audit) -> str:
    lines = [f"{found.task}: every split is what it says"]
    for facts in found.splits:
        shortest, median, longest = facts.lengths
        repeated = facts.num_examples - facts.num_distinct
        lines += [
            f"\n{facts.split}  {facts.sha256}" + ("" if facts.verified else "  UNVERIFIED"),
            f"  {facts.num_examples} examples, {repeated} of them repeated; lengths {shortest} to "
            f"{longest}, median {median}",
            "  labels " + "  ".join(f"{100 * share:.1f} %" for share in facts.label_shares),
        ]
    shared = [
        f"{overlap.num_examples} examples of {overlap.split} stand in {overlap.other} too"
        for overlap in found.overlaps
        if overlap.num_examples
    ]
    return "\n".join([*lines, "", *(shared or ["the splits have no example in common"])])
