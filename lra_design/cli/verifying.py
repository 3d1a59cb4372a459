"""Composes the parts: what a bundle claims is found again, in sandboxes of our own."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent_sandbox.fingerprint import fingerprint, nearest
from agent_sandbox.fingerprint.records import Nearest, Neighbour
from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.validate import validate
from leaderboards.bundles.agreement import (
    Figure,
    close,
    compare_reports,
    compare_retrained,
    compare_scores,
    same,
    unchecked,
)
from leaderboards.bundles.layout import Bundle
from leaderboards.bundles.reading import extract_weights
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import Run
from tasks.registry import get_task
from tasks.splits.storage import split_hash
from trainers.accuracy import labelled_split
from trainers.evaluator import evaluate
from trainers.job import task_shape
from trainers.network_checks import count_parameters
from trainers.referee import run_job, score_run
from trainers.session import NetworkSession
from trainers.tensor_files import read_tensors
from trainers.training import OnProgress, train

NOT_SHOWN = (
    ("agent and attempts", "nothing in a bundle shows who wrote it, and in how many attempts"),
    ("seconds and memory", "they are those of the submitter's machine"),
    ("curves, ledger of the study, shuffled twin", "nothing in a bundle shows what was trained"),
    ("isolation of the submitter", "what ran there is not seen here"),
)
"""Claims that nobody can check from a bundle."""


@dataclass(frozen=True)
class Verifier:
    """Where and with what bundles are verified."""

    validation: Isolation
    """Where the source is validated and compared with known mechanisms: no card."""
    training: Isolation
    """Where networks are scored and trained; the same where they are on the processor."""
    scratch: Path
    """A folder that nothing is kept in."""
    say: Callable[[str], None]
    """Told what is about to be done."""

    def figures(self, bundle: Bundle) -> Iterator[Figure]:
        """Every claim of the bundle with what was found, retraining left out."""
        run = bundle.runs[0]
        split = split_hash(get_task(run.task), "train")
        yield same("training split", bundle.manifest.train_split, split, "the same for everybody")
        self.say("validating the source")
        report = validate(
            run.source.encode(),
            self.validation,
            mode=run.mode,
            hyperparameters=run.hyperparameters,
        )
        yield from compare_reports(bundle.dossier.certificate, report)
        if not report.valid:
            yield unchecked("scores", "as recorded", "an invalid mechanism is not scored")
            return
        yield from self._neighbours(bundle)
        for run in bundle.runs:
            yield from self._rescored(bundle, run)
        for name, why in NOT_SHOWN:
            yield unchecked(name, "as recorded", why)

    def _neighbours(self, bundle: Bundle) -> Iterator[Figure]:
        """The nearest known mechanism and what the file repeats, both found again."""
        claimed = bundle.dossier.neighbours
        self.say("comparing it with the known mechanisms")
        run = bundle.runs[0]
        try:
            found = nearest(fingerprint(run.source.encode(), self.validation, mode=run.mode))
        except (CandidateFault, CandidateRefused) as fault:
            yield same("repeats", _copies(claimed), f"no answer: {fault}", "compared again")
            return
        yield same("repeats", _copies(claimed), _copies(found.neighbours), "compared again")
        yield from _distances(claimed, found)

    def _rescored(self, bundle: Bundle, run: Run) -> Iterator[Figure]:
        """Both scores of a seed from its weights; a candidate that gives no answer agrees not."""
        name = f"seed {run.seed}"
        assert run.validation is not None, "a run of a bundle is scored"
        assert run.test is not None, "a run of a bundle is scored"
        if run.seed not in bundle.weights:
            for score in (run.validation, run.test):
                yield unchecked(f"{name}, {score.split} accuracy", score.accuracy, "no weights")
            return
        self.say(f"scoring seed {run.seed} from its weights")
        folder = self.scratch / secrets.token_hex(8)
        extract_weights(bundle, run.seed, folder / "best.safetensors")
        try:
            yield from self._cold(run, folder / "best.safetensors")
            scored = score_run(dataclasses.replace(run, findings=()), folder, self.training)
        except (CandidateFault, CandidateRefused) as fault:
            yield same(f"{name}, scores", "as recorded", f"no answer: {fault}", "from its weights")
            return
        assert scored.test is not None, "the referee scores or raises"
        yield from compare_scores(f"{name}, test", run.test, scored.test)
        name = f"{name}, findings of the referee"
        yield same(name, _errors(run), _errors(scored), "asked again, with other examples")

    def _cold(self, run: Run, weights_file: Path) -> Iterator[Figure]:
        """Size and validation score of weights in a worker that never trained."""
        task = get_task(run.task)
        weights, _ = read_tensors(weights_file)
        assert run.validation is not None, "a run of a bundle is scored"
        with NetworkSession(self.training, run_job(run), task_shape(task)) as session:
            names = session.build(secrets.randbits(31))
            session.load(weights)
            size = count_parameters(weights, names)
            found = evaluate(labelled_split(task, "validation"), session)
        how = "counted in its weights"
        yield same(f"seed {run.seed}, parameters", float(run.num_parameters), float(size), how)
        yield from compare_scores(f"seed {run.seed}, validation", run.validation, found)

    def retrained(self, bundle: Bundle, run: Run, on_progress: OnProgress) -> Iterator[Figure]:
        """The figures of a seed that is trained again."""
        name = f"seed {run.seed}, trained again"
        card = self.training.card
        if (run.device == "cuda") != (card is not None):
            why = f"it was trained on {run.device}; ask for it with --device {run.device}"
            yield unchecked(name, "as recorded", why)
            return
        self.say(f"training seed {run.seed} again")
        folder = self.scratch / secrets.token_hex(8)
        try:
            again = train(run_job(run), self.training, folder, on_progress)
            scored = score_run(again, folder, self.training)
        except (CandidateFault, CandidateRefused) as fault:
            yield same(name, "as recorded", f"no training: {fault}", "by the same recipe")
            return
        yield from compare_retrained(bundle.runs, run, scored)


def highest_scored(bundle: Bundle) -> Run:
    """The run that a forger would most likely have raised."""
    return max(bundle.runs, key=lambda run: run.test.accuracy if run.test else 0.0)


def _distances(claimed: tuple[Neighbour, ...], found: Nearest) -> Iterator[Figure]:
    """The distance to what is nearest there, and to what is nearest here."""
    theirs, ours = ({n.name: n.distance for n in known} for known in (claimed, found.neighbours))
    for name in dict.fromkeys((claimed[0].name, found.neighbours[0].name)):
        if name in theirs and name in ours:
            how = "other draws; of 100 draws of one mechanism 95 are within half of this"
            tolerance = 2 * found.same_below
            yield close(f"distance to {name}", theirs[name], ours[name], tolerance, how)
        else:
            why = f"'{name}' is a known mechanism {'there' if name in theirs else 'here'} alone"
            yield unchecked(f"distance to {name}", "as recorded", why)


def _copies(neighbours: tuple[Neighbour, ...]) -> str:
    found = sorted(f"{other.copy} as {other.name}" for other in neighbours if other.copy)
    return "; ".join(found) or "nothing known"


def _errors(run: Run) -> str:
    """The errors among a run's findings; warnings are those of the submitter's validation."""
    return ", ".join(sorted({f.check for f in run.findings if f.tier == "error"})) or "none"
