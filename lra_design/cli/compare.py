"""`lra-design compare`: is one mechanism better than another, beyond the noise?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from lra_design.cli.options import json_option
from lra_design.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from leaderboards.comparison import Comparison
    from leaderboards.noise import Noise
    from lra_design.records import Run, Score

Split = Literal["validation", "test"]
SHARED = ("task", "scale", "setting", "mode", "host", "train")
"""What two runs must have alike; in the `tuned` setting each has a recipe of its own."""


@click.command(short_help="Is one mechanism better than another, beyond the noise?")
@click.argument("one")
@click.argument("other")
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="Whose accuracies are compared; of the test split only what was scored.",
)
@click.option("--task", help="Of several tasks that both have, the one to compare on.")
@click.option(
    "--board",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/board"),
    show_default=True,
    help="Leaderboard that names are looked up in.",
)
@json_option
def compare(
    one: str, other: str, split: Split, task: str | None, board: Path, as_json: bool
) -> None:
    """Compare ONE with OTHER, seed by seed.

    Each is a name on the leaderboard, or a folder of finished trainings (of one, or of several
    below it). The verdict is better, worse, within noise, or too few seeds; below five common seeds
    it leans on the measured noise floor of the task, where there is one.
    """
    from leaderboards.comparison import compare as compare_seeds

    runs = _scored(_runs(one, board), split, task, one)
    others = _scored(_runs(other, board), split, task, other)
    first, second = runs[0], others[0]
    _require_alike(first, second, split)
    noise = _floor(first, split)
    found = compare_seeds(_by_seed(runs, split), _by_seed(others, split), noise)
    if as_json:
        names = {"one": first.name, "other": second.name, "task": first.task, "split": split}
        click.echo(json.dumps({**names, **asdict(found)}, indent=2, sort_keys=True))
    else:
        title = f"{first.name} against {second.name} on {first.task}, {split} split"
        click.echo("\n".join([title, *_lines(found, noise)]))


def _runs(which: str, board: Path) -> list[Run]:
    """The runs of a folder, or those on the board under a name. Raises UsageError for none."""
    from leaderboards.store import Store
    from trainers.training import read_run

    if Path(which).is_dir():
        found = [read_run(path.parent) for path in sorted(Path(which).rglob("run.json"))]
        if not found:
            raise UsageError(
                f"no finished training in {which}: expected a file run.json in it or below. "
                "Train with `lra-design train`, or name another folder."
            )
        return found
    runs = Store(board).runs()
    if not runs:
        raise UsageError(
            f"'{which}' is no folder, and there is no leaderboard in {board}. Name a folder of "
            "finished trainings, or a leaderboard with --board."
        )
    named = [run for run in runs if run.name == which]
    if not named:
        raise unknown_name("mechanism on the board", which, {run.name for run in runs})
    return named


def _scored(runs: list[Run], split: Split, task: str | None, which: str) -> list[Run]:
    """Those of one mechanism on one task that have a score. Raises UsageError when unclear."""
    if task is not None:
        runs = [run for run in runs if run.task == task]
    runs = [run for run in runs if getattr(run, split) is not None]
    if not runs:
        remedy = "Score them with `lra-design score`." if split == "test" else "Name another."
        on = f" on {task}" if task else ""
        raise UsageError(f"{which} has no run with a {split} score{on}. {remedy}")
    differing = _differing(runs, (*SHARED, "source_hash", "hyperparameters"))
    if differing:
        raise UsageError(
            f"{which} holds runs that differ in {differing}: expected those of one mechanism under "
            "one set of conditions. Choose with --task, or name a narrower folder."
        )
    return runs


def _require_alike(first: Run, second: Run, split: Split) -> None:
    shared = [name for name in SHARED if name != "train" or first.setting == "fixed"]
    differing = _differing([first, second], shared)
    if not differing and _score(first, split).split_hash != _score(second, split).split_hash:
        differing = f"their {split} split"
    if differing:
        raise UsageError(
            f"{first.name} and {second.name} differ in {differing}, so that their accuracies are "
            "not comparable. Train both under the same conditions, or choose with --task."
        )


def _floor(run: Run, split: Split) -> Noise | None:
    """The noise floor of the run's conditions, when it was trained by the recipe as it stands."""
    from dataclasses import replace

    from leaderboards.noise import noise_floor
    from leaderboards.repeats import Conditions
    from trainers.recipes import get_recipe

    recipe = get_recipe(run.task, run.scale)
    if (replace(run.host, causal=recipe.host.causal), run.train) != recipe:
        return None
    return noise_floor(Conditions(run.task, run.scale, run.setting, run.mode), split)


def _differing(runs: Sequence[Run], names: Sequence[str]) -> str:
    """The names of fields in which runs differ, with two values of the first; empty for none."""
    for name in names:
        values: list[Any] = []
        for run in runs:
            if getattr(run, name) not in values:
                values.append(getattr(run, name))
        if len(values) > 1:
            short = [str(value)[:60] for value in values[:2]]
            return f"{name} ({short[0]} and {short[1]})"
    return ""


def _by_seed(runs: Sequence[Run], split: Split) -> dict[int, float]:
    """Accuracies by seed; of several runs of a seed the first counts, as on the board."""
    return {run.seed: _score(run, split).accuracy for run in reversed(runs)}


def _score(run: Run, split: Split) -> Score:
    score = run.validation if split == "validation" else run.test
    assert score is not None, "runs without a score were left out"
    return score


def _lines(found: Comparison, noise: Noise | None) -> Iterator[str]:
    for seed, difference in zip(found.seeds, found.differences, strict=True):
        yield f"  seed {seed}: {100 * difference:+.2f} points"
    if found.mean is None:
        yield "too few seeds: the two have no seed in common"
        return
    mean = f"{100 * found.mean:+.2f} points in the mean of {len(found.seeds)} seed(s)"
    if found.low is None or found.high is None or found.df is None:
        yield f"too few seeds: {mean}, and nothing to tell how much of that is noise"
        yield "train both with at least two common seeds"
        return
    interval = f"95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    yield f"{found.verdict}: {mean}, {interval}"
    floor = f", {found.floor_df:.3g} of them from the noise floor" if found.floor_df else ""
    yield f"  {found.df:.3g} degrees of freedom{floor}"
    if found.detectable is not None:
        yield (
            f"  with {len(found.seeds)} seed(s) differences below {100 * found.detectable:.2f} "
            "points are seen less than four times in five"
        )
    if noise is None:
        yield "  no noise floor is measured under these conditions: it rests on these seeds alone"
