"""After the board of a design run: which of its changes made the winner better."""

from __future__ import annotations

from statistics import fmean

from leaderboards.attribution import Attribution, attribute
from leaderboards.noise import noise_floor
from leaderboards.repeats import Conditions
from leaderboards.store import Store
from lra_design.cli.attributing import Change, Trainings, attributing_command, summary
from lra_design.cli.display import Display
from lra_design.cli.judging import Judging
from lra_design.errors import CandidateRefused
from lra_design.files import write_atomically
from lra_design.records import to_json


def explained(change: Change, judging: Judging, display: Display, *, trains: bool) -> str:
    """The attribution in words and the command that adds other learning rates; where it trains
    nothing, or the ancestor cannot be trained, the command that attributes alone."""
    settings, folder = judging.settings, judging.folder
    found = attribute_winner(change, judging, display) if trains else None
    if found is None:
        command = attributing_command(change, settings, folder)
        return f"\nwhich of its changes made it better:\n  {command}"
    title = (
        f"\nattempt {change.child.index} against attempt {change.parent.index} on {settings.task}, "
        f"{settings.num_seeds} seed(s), validation split"
    )
    command = attributing_command(change, settings, folder, "--tuned-rates")
    return "\n".join([title, *summary(found), f"\nat other learning rates too:\n  {command}"])


def attribute_winner(change: Change, judging: Judging, display: Display) -> Attribution | None:
    """Train what `lra-design attribute` trains, with the seeds of the run and in its folder, and
    write the record beside the board; what an earlier call trained is read.

    It sees validation splits alone. None, and the reason is shown, when the ancestor cannot be
    trained on the task.
    """
    settings, folder = judging.settings, judging.folder
    if not folder.attribution.exists():
        display.say(f"\n{_estimate(change, judging)}")
    trainings = Trainings(
        judging.job(change.winner, settings.task, seed=0),
        settings.num_seeds,
        judging.isolation,
        judging.training,
        folder.trainings,
        judging.crew,
        display,
    )
    floor = noise_floor(Conditions(settings.task, settings.scale, "fixed", settings.mode))
    sources = change.parent.proposal.source, change.child.proposal.source
    try:
        found = attribute(*sources, trainings, noise=floor)
    except CandidateRefused as refusal:
        display.say(f"no attribution: {refusal}")
        return None
    write_atomically(folder.attribution, to_json(found, indent=2).encode())
    return found


def _estimate(change: Change, judging: Judging) -> str:
    """What it will take, by what the trainings of the winner took."""
    number = (change.num_variants - 1) * judging.settings.num_seeds  # the winner's are there
    took = [
        run.usage.seconds
        for run in Store(judging.folder.board).runs()
        if run.source == change.winner.source
    ]
    each = f" of about {fmean(took):.0f} s" if took else ""
    return (
        f"attribution of the winner's {change.num_ingredients} changes: about {number} trainings"
        f"{each}, {judging.crew.num_workers} at a time. Ctrl-C loses nothing: the same command "
        "goes on; --no-attribution leaves it out."
    )
