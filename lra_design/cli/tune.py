"""`lra-design tune`: hyperparameters under the same budget for everybody."""

from __future__ import annotations

import dataclasses
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from lra_design.cli.crew import Crew
from lra_design.cli.options import executor_option, isolation, make_job, training_options
from lra_design.records import Device, Level

if TYPE_CHECKING:
    from agent_sandbox.isolation import Isolation
    from lra_design.cli.display import Display
    from lra_design.records import Run
    from trainers.job import Job

T = TypeVar("T")


@click.command(short_help="Search hyperparameters, under the same budget for all.")
@training_options("runs/tune")
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Device-seconds for all trials together: none begins once they are spent.",
)
@click.option(
    "--seeds",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Fresh seeds that the winner is trained with again, to be scored.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trials side by side; with one a study is the same every time.",
)
@executor_option
@click.option(
    "--storage",
    metavar="URL",
    help="Optuna storage that keeps the study, for teams; a journal file in --out without it.",
)
def tune(
    file: Path,
    task: str,
    scale: Literal["smoke", "small", "full"],
    variant: str | None,
    mode: str,
    seed: int,
    trials: int,
    seconds: float | None,
    seeds: int,
    workers: int,
    executor: str | None,
    storage: str | None,
    out: Path,
    as_json: bool,
    device: str,
    level: Level,
) -> None:
    """Tune learning rate, weight decay and the search_space of the mechanism in FILE.

    The first trial is the recipe and the mechanism as they stand. Trials are compared on the
    validation split; the winner is trained again with fresh seeds, and what scores those trainings
    on the test split is printed. The same command goes on where an interrupted one stopped; several
    of them, on machines that share --out, work on one study.
    """
    from agent_sandbox.isolation.cards import choose_card

    elsewhere = executor is not None and device in ("cpu", "cuda")
    card = None if elsewhere else choose_card(device)
    job = make_job(file, task, scale, mode, seed, variant=variant, card=card)
    if elsewhere:  # whether a node has a card is for the job there to find out
        job = dataclasses.replace(job, device=cast(Device, device))
    from lra_design.cli.display import Display
    from lra_design.cli.preparing import generate_shown
    from lra_design.cli.tuned import summary
    from lra_design.records import to_json
    from tasks.registry import get_task

    display = Display()
    with display.showing():
        generate_shown(get_task(task), display)
    study = {"num_trials": trials, "max_seconds": seconds, "storage": storage}
    if executor is None:
        with isolation(level, card) as opened, display.showing(), Crew(workers) as crew:
            winner = _search(job, opened, out, study, crew, display)
            retrained = _retrain(winner, seeds, opened, out, crew, display)
    else:
        from lra_design.cli.spread import Spread, opened_executor

        with opened_executor(executor, workers) as there, display.showing():
            spread = Spread(there, level, out, display)
            winner = spread.search(job, study, workers)
            retrained = spread.retrain(winner, seeds)
    assert winner.tuning is not None, "the winner of a study has its ledger"
    click.echo(to_json(winner.tuning, indent=2) if as_json else summary(winner, retrained, out))


def _search(
    job: Job, opened: Isolation, out: Path, study: dict[str, Any], crew: Crew, display: Display
) -> Run:
    """Run the trials of a study side by side; the best one's run."""
    from trainers.tuning.study import Search

    trials = study["num_trials"]
    title = f"{trials} trials of {job.name} on {job.task}"
    with display.stage(title, trials * job.train.num_steps) as stage:
        search = Search(
            job, opened, out, watch=lambda number: stage.watch(f"trial {number}"), **study
        )
        display.say(f"study {search.name}")
        _finish([crew.submit(search.work, crew.check) for _ in range(crew.num_workers)])
        return search.best()


def _retrain(
    winner: Run, seeds: int, opened: Isolation, out: Path, crew: Crew, display: Display
) -> dict[Path, Run]:
    """The winner trained with fresh seeds, side by side; each run by its folder."""
    from trainers.training import Progress
    from trainers.tuning.winner import fresh_seeds, retrain, retrained_folder

    title = f"the winner, {seeds} fresh seeds"
    with display.stage(title, max(1, seeds * winner.train.num_steps)) as stage:

        def train(seed: int) -> Run:
            show = stage.watch(f"seed {seed}")

            def report(progress: Progress) -> None:
                crew.check()
                show(progress)

            return retrain(winner, seed, opened, out, report)

        fresh = fresh_seeds(winner, seeds)
        runs = _finish([crew.submit(train, seed) for seed in fresh])
        return {retrained_folder(out, run): run for run in runs}


def _finish(futures: list[Future[T]]) -> list[T]:
    """What all of them give; when one fails its error, at once."""
    wait(futures, return_when=FIRST_EXCEPTION)
    failed = (future for future in futures if future.done() and future.exception())
    for future in failed:
        future.result()
    return [future.result() for future in futures]
