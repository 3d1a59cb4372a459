"""`lra-design journal`: what an agent tried, why, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import json_option, output_option
from lra_design.errors import DataError, UsageError
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from agent_sandbox.agents.journal import Journal
    from lra_design.cli.run_folder import DesignSettings
    from lra_design.records import Attempt

folder_argument = click.argument("run", type=click.Path(path_type=Path))
FORMATS = ("jsonl", "parquet")
NOT_KNOWN = " (the noise of its probes was not measured: no two that scored are ordered)"


@click.group(short_help="Show, compare and export the attempts of an agent.")
def journal() -> None:
    """Read the journal of a design run. RUN is its folder, or the journal itself."""


@journal.command()
@folder_argument
@click.argument("attempt", type=click.IntRange(0), required=False)
@json_option
def show(run: Path, attempt: int | None, as_json: bool) -> None:
    """List all attempts; or one of them with its source, its report and every exchange."""
    kept = _open(run)
    attempts = kept.attempts()
    if attempt is None:
        rows = [_row(one) for one in attempts]
        click.echo(json.dumps(rows, indent=2) if as_json else _table(rows))
    elif as_json:
        click.echo(json.dumps(_whole(kept, _pick(attempts, attempt)), indent=2))
    else:
        click.echo(_told(kept, _pick(attempts, attempt)))


@journal.command()
@folder_argument
def tree(run: Path) -> None:
    """Draw who came from whom; a child of two parents stands under the first."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    attempts = _open(run).attempts()
    root = Tree(Text(visible_text(str(run))))
    branches: dict[str, Tree] = {}
    for attempt in attempts:
        parent = next((h for h in attempt.proposal.parents if h in branches), None)
        branch = branches[parent] if parent else root
        row = _row(attempt)
        label = f"{row['attempt']}  {row['operator']}: {row['change']}  {_result(row)}"
        branches.setdefault(attempt.source_hash, branch.add(Text(visible_text(label))))
    Console(highlight=False, soft_wrap=True).print(root)


@journal.command()
@folder_argument
@click.argument("a", type=click.IntRange(0))
@click.argument("b", type=click.IntRange(0))
def diff(run: Path, a: int, b: int) -> None:
    """Print what changed from the source of attempt A to that of attempt B, as a unified diff."""
    import difflib

    attempts = _open(run).attempts()
    before, after = (_pick(attempts, i).proposal.source.splitlines() for i in (a, b))
    lines = difflib.unified_diff(before, after, f"attempt {a}", f"attempt {b}", lineterm="")
    click.echo(visible_text("\n".join(lines)))


@journal.command()
@folder_argument
@output_option("The file to write: its ending says how, .jsonl or .parquet.")
def export(run: Path, output: Path) -> None:
    """Write every attempt with its exchanges to a file: JSON lines, or Parquet for tables."""
    ending = output.suffix.removeprefix(".")
    if ending not in FORMATS:
        raise UsageError(
            f"expected a file that ends in {' or '.join('.' + name for name in FORMATS)}, "
            f"found '{output.name}'. Name one with -o."
        )
    kept = _open(run)
    attempts = kept.attempts()
    if ending == "jsonl":
        _write_lines([_whole(kept, attempt) for attempt in attempts], output)
    else:
        _write_parquet(kept, attempts, output)
    click.echo(f"{len(attempts)} attempts in {output}")


@journal.command()
@folder_argument
@output_option("The file of JSON lines to write, which must not be there yet.")
def pairs(run: Path, output: Path) -> None:
    """Write which of two siblings came out better: pairs for preference trainers, as JSON lines.

    Siblings are children of the same parents; drafts are siblings too. A later gate is better
    (refused by the reader, failed a behaviour check, crashed in training, scored), and of two that
    scored the higher mean validation accuracy, where the difference is beyond the noise.
    """
    from agent_sandbox.agents.preferences.pairs import preference_pairs
    from lra_design.files import write_atomically
    from lra_design.records import to_json

    if output.exists():
        raise UsageError(f"expected a new file, found {output}. Name another one with -o.")
    attempts = _open(run).attempts()
    settings = _settings(run)
    noise, task = _conditions(settings) if settings else (None, "")
    name = (run if run.is_dir() else run.parent).resolve().name
    found = list(preference_pairs(attempts, run=name, noise=noise, task=task))
    if not found:
        raise UsageError(
            f"expected siblings of which one came out better in {run}, found none among "
            f"{len(attempts)} attempts{'' if noise is not None else NOT_KNOWN}. Let the agent "
            "make more attempts."
        )
    write_atomically(output, (f"{to_json(pair)}\n".encode() for pair in found))
    by_gate = sum(pair.reason == "later gate" for pair in found)
    beyond = NOT_KNOWN if noise is None else f", beyond a noise of {noise:.3f}"
    click.echo(
        f"{len(found)} pairs in {output}: {by_gate} by the gate, {len(found) - by_gate} by "
        f"accuracy{beyond}"
    )


def _settings(run: Path) -> DesignSettings | None:
    """What the run at `run` was asked to do; None beside a journal that stands alone."""
    from lra_design.cli.run_folder import DesignSettings
    from lra_design.records import from_json

    path = (run if run.is_dir() else run.parent) / "design.json"
    return from_json(DesignSettings, path.read_bytes()) if path.exists() else None


def _conditions(settings: DesignSettings) -> tuple[float | None, str]:
    """The noise of the mean over the probes, and what the candidates are trained on."""
    from lra_design.cli.probes import described, probe_noise

    lines = [*map(described, settings.probes), f"Built in {settings.mode} mode."]
    return probe_noise(settings), "\n".join(lines)


def _open(run: Path) -> Journal:
    """The journal at `run`, empty for a run without attempts. Raises UsageError when it is none."""
    from agent_sandbox.agents.journal import Journal
    from lra_design.cli.run_folder import RunFolder

    path = RunFolder(run).journal if run.is_dir() else run
    if not path.exists() and not (path.parent / "design.json").exists():
        raise UsageError(
            f"expected a journal at {path}, found nothing. Name the folder of a design run: what "
            "was given to --out."
        )
    return Journal(path)


def _pick(attempts: Sequence[Attempt], index: int) -> Attempt:
    if index >= len(attempts):
        there = f"attempts 0 to {len(attempts) - 1}" if attempts else "no attempts"
        raise UsageError(f"attempt {index} is not there: the journal holds {there}.")
    return attempts[index]


def _row(attempt: Attempt) -> dict[str, Any]:
    """What a table says of an attempt. A figure that is not known is None."""
    return {
        "attempt": attempt.index,
        "operator": attempt.proposal.operator,
        "change": attempt.proposal.change,
        "valid": attempt.feedback.report.valid,
        "accuracy": attempt.feedback.mean_accuracy,
        "evaluated": attempt.spent.evaluations > 0,
        "wall_seconds": attempt.spent.wall_seconds,
        "device_seconds": attempt.spent.device_seconds,
        "tokens": attempt.spent.tokens,
        "dollars": attempt.spent.dollars,
    }


def _result(row: dict[str, Any]) -> str:
    if row["accuracy"] is not None:
        return f"{100 * row['accuracy']:.1f} %"
    return "not trained" if row["valid"] else "invalid"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'#':>4} {'result':>12} {'device s':>9} {'tokens':>8} {'$':>7}  change"]
    for row in rows:
        dollars = "?" if row["dollars"] is None else f"{row['dollars']:.3f}"
        tokens = "?" if row["tokens"] is None else row["tokens"]
        lines.append(
            f"{row['attempt']:>4} {_result(row):>12} {row['device_seconds']:>9.1f} {tokens:>8} "
            f"{dollars:>7}  {row['operator']}: {row['change']}"
        )
    return visible_text("\n".join(lines))


def _whole(kept: Journal, attempt: Attempt) -> dict[str, Any]:
    """Everything that is known of an attempt."""
    from lra_design.records import to_json

    exchanges = [json.loads(text) for _, text in kept.exchanges(attempt.index)]
    return {**json.loads(to_json(attempt)), "exchanges": exchanges}


def _told(kept: Journal, attempt: Attempt) -> str:
    """Everything that is known of an attempt, to be read."""
    from agent_sandbox.validator.render import render_report

    parts = [_table([_row(attempt)]), render_report(attempt.feedback.report)]
    if attempt.proposal.parts:
        parts.append("touches: " + ", ".join(attempt.proposal.parts))
    parts += list(_exchange_texts(kept, attempt.index))
    return visible_text("\n\n".join([*parts, attempt.proposal.source]))


def _exchange_texts(kept: Journal, index: int) -> Iterator[str]:
    for _, text in kept.exchanges(index):
        exchange = json.loads(text)
        yield f"--- asked ---\n{exchange['prompt']['turns'][-1]['text']}"
        yield f"--- {exchange['reply']['llm']} ---\n{exchange['reply']['text']}"


def _write_lines(rows: Sequence[dict[str, Any]], output: Path) -> None:
    from lra_design.files import write_atomically

    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    write_atomically(output, text.encode())


def _write_parquet(kept: Journal, attempts: Sequence[Attempt], output: Path) -> None:
    """One row an attempt; what is nested is JSON in a column. Replaces the file in one step."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            "Parquet needs pyarrow, which is not installed: pip install 'lra-design[data]'. "
            "JSON lines need nothing: -o FILE.jsonl."
        ) from None
    from lra_design.files import write_atomically

    rows = []
    for attempt in attempts:
        whole = _whole(kept, attempt)
        nested = {name: json.dumps(whole[name]) for name in ("feedback", "proposal", "exchanges")}
        hashes = {"source_hash": attempt.source_hash, "code_hash": attempt.code_hash}
        rows.append(_row(attempt) | hashes | {"source": attempt.proposal.source} | nested)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    write_atomically(output, sink.getvalue().to_pybytes())
