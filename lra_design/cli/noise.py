"""`lra-design noise` and `lra-design proxy`: what is chance, and what a short training tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from lra_design.cli.options import SCALES, json_option, mode_option, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.noise import Noise
    from leaderboards.proxy import Proxy
    from leaderboards.repeats import Conditions, Repeats

SEEDS = (1, 2, 3, 5, 10)
CHOICES = (2, 5, 12, 100)
conditions_options = together(
    click.argument("task"),
    click.argument("scale", type=click.Choice(SCALES)),
    mode_option,
    json_option,
)


@click.command(short_help="How much of an accuracy is chance, as measured.")
@conditions_options
def noise(
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: Literal["causal", "bidirectional"],
    as_json: bool,
) -> None:
    """Print the noise floor of TASK at SCALE, measured over the references with several seeds.

    It says by how much two trainings differ that differ in nothing but their seeds, what of that
    the initial weights and the order of the data do, which differences how many seeds can show,
    and how much better than it is the best of many looks.
    """
    from leaderboards.noise import noise_floor

    conditions, rows = _measured(task, scale, mode)
    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    floors = [noise_floor(conditions, split, rows=rows) for split in splits]
    found = [floor for floor in floors if floor]
    if as_json:
        stale = _stale(conditions, rows)
        shown = {"noise": [asdict(floor) for floor in found], "stale": stale}
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
        return
    click.echo(" · ".join(conditions))
    click.echo("\n".join(_noise_lines(found) if found else ["no reference has two seeds yet"]))
    click.echo("\n".join(_provenance(conditions, rows)))


@click.command(short_help="How far a short training tells what a full one would, as measured.")
@conditions_options
def proxy(
    task: str,
    scale: Literal["smoke", "small", "full"],
    mode: Literal["causal", "bidirectional"],
    as_json: bool,
) -> None:
    """Print the proxy gap of TASK at SCALE, measured over the references.

    It says how well the order after a share of the recipe's steps is that of full trainings, and
    how many of some candidates to keep for the best to be among them.
    """
    from leaderboards.noise import noise_floor
    from leaderboards.proxy import proxy_gap, screenings

    conditions, rows = _measured(task, scale, mode)
    floor = noise_floor(conditions, rows=rows)
    shares = sorted({r.share for r in rows if r.conditions == conditions and r.share < 1})
    found = {share: screenings(conditions, share, rows) for share in shares}
    gaps = [proxy_gap(conditions, s, f, floor) for s, f in found.items() if f and floor]
    if as_json:
        shown = {"proxy": [asdict(gap) for gap in gaps], "stale": _stale(conditions, rows)}
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
        return
    click.echo(" · ".join(conditions))
    for gap in gaps:
        click.echo("\n".join(_proxy_lines(gap)))
    if not gaps:
        click.echo("fewer than five references were trained in a share of the steps and in full")
    click.echo("\n".join(_provenance(conditions, rows)))


def _measured(task: str, scale: Any, mode: Any) -> tuple[Conditions, Sequence[Repeats]]:
    """What is asked about and every line there is. Raises UsageError for an unknown task."""
    from leaderboards.repeats import Conditions, read_repeats
    from tasks.registry import get_task
    from trainers.recipes import get_recipe

    get_recipe(get_task(task).id, scale)
    return Conditions(task, scale, "fixed", mode), read_repeats()


def _noise_lines(floors: list[Noise]) -> Iterator[str]:
    for floor in floors:
        yield (
            f"{floor.split:<11}{_points(floor.sd)} points: standard deviation of one training's "
            f"accuracy over seeds,\n           {floor.df} degrees of freedom from "
            f"{len(floor.mechanisms)} references"
        )
    yield from _spread(floors[0])
    yield from _sources(floors[0])
    yield from _visible(floors[0])
    yield from _best_of_many(floors[0])


def _spread(floor: Noise) -> Iterator[str]:
    several = [m for m in floor.mechanisms if m.num_seeds > 2]
    if len(several) > 1 and floor.equal_p is not None:
        parts = ", ".join(f"{m.name} {_points(m.sd)} ({m.num_seeds} seeds)" for m in several)
        yield f"by reference: {parts}"
        yield f"as different by chance alone: p {floor.equal_p:.2g} (Bartlett)"
    yield (
        f"for one that was never measured: {_points(floor.common_sd)} points, worth "
        f"{floor.common_df:.3g} degrees of freedom"
    )


def _sources(floor: Noise) -> Iterator[str]:
    found = floor.sources
    if found is None:
        return
    parts = (
        f"the initial weights do {found.weights:.0%} (p {found.weights_p:.2g})",
        f"the order of the data {found.order:.0%} (p {found.order_p:.2g})",
        f"the pair of them {found.both:.0%}",
    )
    yield f"of the variance {', '.join(parts)}:"
    yield f"  {found.num_trainings} trainings of {found.num_mechanisms} reference(s)"


def _visible(floor: Noise) -> Iterator[str]:
    from leaderboards.comparison import planned_difference

    yield "seeds of each                    " + "".join(f"{n:7d}" for n in SEEDS)
    cells = (
        f"{_points(planned_difference(floor, n)):>7}" if floor.common_df + n > 1.99 else "      –"
        for n in SEEDS
    )
    yield "differences visible from, points " + "".join(cells)


def _best_of_many(floor: Noise) -> Iterator[str]:
    from leaderboards.selection import selection_bias

    yield "the best of                      " + "".join(f"{n:7d}" for n in CHOICES)
    cells = (f"{_points(selection_bias(n, floor)):>7}" for n in CHOICES)
    yield "looks better by at most, points  " + "".join(cells)


def _proxy_lines(gap: Proxy) -> Iterator[str]:
    from leaderboards.proxy import CONFIDENCE

    yield (
        f"{gap.share:.0%} of the steps: {len(gap.mechanisms)} references, {gap.num_screenings} "
        f"screening(s)"
    )
    for name, value in (("Kendall's tau-b", gap.tau), ("Spearman's rho", gap.rho)):
        yield f"  {name:<16}{value.value:5.2f}   ({value.low:.2f} to {value.high:.2f})"
    if gap.ordered_right is None:
        yield "  no two references differ beyond the noise floor in full"
    else:
        yield (
            f"  of the {gap.num_pairs} pairs that differ beyond the noise floor in full it orders "
            f"{gap.ordered_right:.0%} right"
        )
    keep = next(k for k, share in enumerate(gap.recall, start=1) if share >= CONFIDENCE)
    yield (
        f"  to keep the best of {gap.num_candidates} with a probability of {CONFIDENCE:.0%}, keep "
        f"{keep}"
    )
    kept = "".join(f"{k:6d}" for k in range(1, len(gap.recall) + 1))
    shares = "".join(f"{share:6.0%}" for share in gap.recall)
    yield f"  kept            {kept}\n  best among them {shares}"


def _provenance(conditions: Conditions, rows: Sequence[Repeats]) -> Iterator[str]:
    """On what it was measured, and which lines say nothing any more."""
    own = [row for row in rows if row.conditions == conditions and not row.stale]
    for place in sorted({f"{r.hardware.processor}, torch {r.versions.torch}" for r in own}):
        yield f"measured on {place}; recipe version {own[0].recipe_version}"
    if not own:
        yield (
            f"nothing is measured of it: python benchmarks/noise.py {conditions.task} "
            f"--scale {conditions.scale} --mode {conditions.mode}"
        )
    for reason in _stale(conditions, rows):
        yield f"left out: {reason}"


def _stale(conditions: Conditions, rows: Sequence[Repeats]) -> list[str]:
    reasons = {row.stale for row in rows if row.conditions == conditions}
    return sorted(reason for reason in reasons if reason)


def _points(share: float) -> str:
    """`0.61` for 0.0061, in percentage points."""
    return f"{100 * share:.2f}"
