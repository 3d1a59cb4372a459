"""`lra-design verify`: does a bundle hold what it claims?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from lra_design.cli.options import device_option, isolation, isolation_options, json_option
from lra_design.errors import LraDesignError, RecordError, UsageError
from lra_design.records import Level
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from leaderboards.bundles.agreement import Figure, Verification
    from leaderboards.bundles.layout import Bundle
    from lra_design.cli.verifying import Verifier
    from lra_design.records import Run


@click.command(short_help="Does a bundle hold what it claims?")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--retrain", is_flag=True, help="Also train one seed again.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    help="The seed to train again.  [default: the one with the highest test score]",
)
@click.option(
    "--weights",
    is_flag=True,
    help="Refuse a bundle that lacks the weights of a seed: its scores could not be checked.",
)
@json_option
@device_option
@isolation_options
def verify(
    paths: tuple[Path, ...],
    retrain: bool,
    seed: int | None,
    weights: bool,
    as_json: bool,
    device: str,
    level: Level,
) -> int:
    """Validate the source of each bundle FILE again, score its weights again, and compare.

    FILE may be a folder: every *.lra.zip in and below it. Exit code 0: everything that could be
    checked agrees. 1: something does not, or a bundle was refused.
    """
    from leaderboards.bundles.reading import refusals

    if seed is not None and not retrain:
        raise UsageError("--seed says which seed to train again: add --retrain")
    read = dict(refusals(_bundles(paths)))
    if weights:
        read = {path: _with_weights(found) for path, found in read.items()}
    with ExitStack() as stack:
        verifier = _verifier(stack, device, level)
        results = [
            _refused(path, found)
            if isinstance(found, LraDesignError)
            else _verified(verifier, found, _to_retrain(found, seed) if retrain else None)
            for path, found in read.items()
        ]
    _print(results, as_json)
    return 0 if all(result.agrees for result in results) else 1


def _bundles(paths: tuple[Path, ...]) -> list[Path]:
    """The files, those of folders by name. Raises UsageError for a folder without one."""
    from leaderboards.bundles.layout import SUFFIX

    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"no bundle *{SUFFIX} in {path}. `lra-design submit` makes them.")
        found += inside
    return found


def _verifier(stack: ExitStack, device: str, level: Level) -> Verifier:
    """Everything that verifies, closed with `stack`."""
    from agent_sandbox.isolation.cards import choose_card
    from lra_design.cli.verifying import Verifier

    card = choose_card(device)
    validation = stack.enter_context(isolation(level))
    training = stack.enter_context(isolation(level, card)) if card else validation
    scratch = Path(stack.enter_context(TemporaryDirectory(prefix="lra-design-verify-")))
    return Verifier(validation, training, scratch, lambda line: click.echo(f"  {line}", err=True))


def _with_weights(found: Bundle | LraDesignError) -> Bundle | LraDesignError:
    """The bundle, or why it is refused: without weights its scores are anybody's claim."""
    if isinstance(found, LraDesignError):
        return found
    lacking = sorted({run.seed for run in found.runs} - set(found.weights))
    if not lacking:
        return found
    seeds = ", ".join(map(str, lacking))
    return RecordError(
        f"{found.path} is refused: it has no weights of seed {seeds}. `lra-design submit "
        "--weights` adds them."
    )


def _to_retrain(bundle: Bundle, seed: int | None) -> Run:
    from lra_design.cli.verifying import highest_scored

    if seed is None:
        return highest_scored(bundle)
    for run in bundle.runs:
        if run.seed == seed:
            return run
    seeds = ", ".join(str(run.seed) for run in bundle.runs)
    raise UsageError(f"{bundle.path} has no seed {seed}. It has: {seeds}.")


def _verified(verifier: Verifier, bundle: Bundle, again: Run | None) -> Verification:
    from leaderboards.bundles.agreement import Verification
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from tasks.registry import get_task

    run, display = bundle.runs[0], Display()
    display.say(f"{bundle.path}: {run.task}, {len(bundle.runs)} seeds")
    with display.showing():
        generate_shown(get_task(run.task), display)
    figures = list(verifier.figures(bundle))
    if again is not None:
        label = f"seed {again.seed}"
        with display.showing(), display.stage(label, again.train.num_steps) as stage:
            figures += verifier.retrained(bundle, again, stage.watch(label))
    return Verification(
        file=str(bundle.path),
        content=bundle.manifest.content,
        name=run.name,
        figures=tuple(figures),
    )


def _refused(path: Path, why: LraDesignError) -> Verification:
    from leaderboards.bundles.agreement import Verification

    return Verification(file=str(path), content=None, name=None, refusal=str(why))


def _print(results: list[Verification], as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        listed = [{**asdict(result), "agrees": result.agrees} for result in results]
        click.echo(json.dumps(listed, indent=2, sort_keys=True, allow_nan=False))
        return
    for result in results:
        for line in _lines(result):
            click.echo(visible_text(line).replace("\n", " "))  # a name must not look like a line


def _lines(result: Verification) -> Iterator[str]:
    """What became of a bundle: a line for each figure, then the count."""
    if result.refusal is not None:
        yield f"REFUSED  {result.refusal}"
        return
    yield f"{'AGREES' if result.agrees else 'DISAGREES'}  {result.file}: {result.name}"
    yield from (_line(figure) for figure in result.figures)
    verdicts = [figure.agrees for figure in result.figures]
    yield (
        f"{verdicts.count(True)} figures agree, {verdicts.count(False)} do not, "
        f"{verdicts.count(None)} were not checked"
    )


def _line(figure: Figure) -> str:
    word = {True: "ok", False: "NO", None: "-"}[figure.agrees]
    claimed, found = _number(figure.claimed), _number(figure.found)
    within = "" if figure.tolerance is None else f" within {figure.tolerance:.4f}"
    beside = "" if figure.found is None else f", found {found}{within}"
    return f"  {word:<3} {figure.name}: claimed {claimed}{beside} ({figure.how})"


def _number(value: str | float | None) -> str:
    if isinstance(value, str) or value is None:
        return str(value)
    return f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.4f}"
