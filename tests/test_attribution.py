"""What made a candidate better: ingredients labelled by trainings that never were, and one real."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_records import make_run, make_score
from test_llm_operators import attempt
from test_noise import make_noise

from agent_sandbox.agents.search import hash_source
from leaderboards.attribution import Attribution, Reached, Variant, attribute
from lra_design.cli import attributing, run, screening
from lra_design.cli.attributing import attributing_command, summary, winners_change
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display
from lra_design.cli.judging import Entrant, Judging
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.cli.winner import explained
from lra_design.errors import CandidateRefused, UsageError
from lra_design.records import Attempt, Budget, Finding, Run, from_json, to_json
from trainers import recipes
from trainers.job import Job
from trainers.recipes import RECIPES

ROOT = Path(__file__).parent.parent
PARENT = "alpha = 0\n# first\nbeta = 0\n# second\ngamma = 0\n"
INVALID = Finding(
    check="LRA301",
    name="causality",
    tier="error",
    expected="no look ahead",
    found="it looks ahead",
    likely_cause="",
    hint="",
)
NOISE = (0.001, -0.002, 0.0015, -0.0005, 0.0)
"""What a seed adds; the parents' and children's seeds are shifted against each other."""
Accuracy = Callable[[set[str], float], float | None]
"""Of the ingredients that are in and the learning rate's factor; None: invalid."""


def change(*names: str) -> str:
    child = PARENT
    for name in names:
        child = child.replace(f"{name} = 0", f"{name} = 1")
    return child


class Trained:
    """Stands for validation and training, and remembers what it was asked."""

    def __init__(self, accuracy: Accuracy, seeds: int = 5) -> None:
        self.accuracy, self.seeds = accuracy, range(seeds)
        self.asked: list[Variant] = []

    def __call__(self, variants: Sequence[Variant]) -> list[Reached]:
        self.asked += variants
        return [self.reached(variant) for variant in variants]

    def reached(self, variant: Variant) -> Reached:
        present = {name for name in ("alpha", "beta", "gamma") if f"{name} = 1" in variant.source}
        mean = self.accuracy(present, variant.rate)
        if mean is None:
            return INVALID
        return {seed: mean + NOISE[(seed + len(present)) % 5] for seed in self.seeds}


def labels(
    accuracy: Accuracy, *names: str, rates: Sequence[float] = (1.0,), seeds: int = 5
) -> list[str]:
    found = attribute(PARENT, change(*names), Trained(accuracy, seeds), rates)
    return [one.label for one in found.ingredients]


def test_gains_losses_and_noise_are_told_apart() -> None:
    worth = {"alpha": 0.05, "beta": 0.0, "gamma": -0.05}
    trained = Trained(lambda present, rate: 0.5 + sum(worth[name] for name in present))
    found = attribute(PARENT, change(*worth), trained)
    assert [one.label for one in found.ingredients] == ["real gain", "within noise", "real loss"]
    assert found.whole.fixed is not None
    assert found.whole.fixed.verdict == "within noise"
    first = found.ingredients[0]
    assert first.alone.fixed is not None
    assert first.missing.fixed is not None
    assert first.alone.fixed.mean == pytest.approx(0.05)
    assert first.missing.fixed.mean == pytest.approx(0.05)
    assert first.parts == ("alpha changed",)
    assert "-alpha = 0\n+alpha = 1" in first.diff
    assert [variant.name for variant in trained.asked] == [
        "parent",
        "child",
        *(f"parent with the change at line {line}" for line in (1, 3, 5)),
        *(f"child without the change at line {line}" for line in (1, 3, 5)),
    ]


def test_what_helps_beside_another_alone_names_it() -> None:
    def accuracy(present: set[str], rate: float) -> float:
        return 0.5 + 0.05 * ({"alpha", "gamma"} <= present)

    found = attribute(PARENT, change("alpha", "beta", "gamma"), Trained(accuracy))
    assert [(one.label, one.partners) for one in found.ingredients] == [
        ("only together", (3,)),
        ("within noise", ()),
        ("only together", (1,)),
    ]
    assert "1. only together with 3" in "\n".join(summary(found))


def test_what_needs_all_the_others_says_so() -> None:
    found = attribute(
        PARENT,
        change("alpha", "beta", "gamma"),
        Trained(lambda present, rate: 0.5 + 0.05 * (len(present) == 3)),
    )
    assert {(one.label, one.partners) for one in found.ingredients} == {("only together", ())}
    assert "1. only together with several of the others" in "\n".join(summary(found))


def test_two_that_need_each_other_cost_no_training_more() -> None:
    trained = Trained(lambda present, rate: 0.5 + 0.05 * (len(present) == 2))
    found = attribute(PARENT, change("alpha", "beta"), trained)
    assert [one.partners for one in found.ingredients] == [(2,), (1,)]
    assert len(trained.asked) == 4  # the child without the one is the parent with the other


def test_one_ingredient_is_the_whole_change() -> None:
    trained = Trained(lambda present, rate: 0.5 + 0.05 * len(present))
    found = attribute(PARENT, change("beta"), trained)
    assert [one.label for one in found.ingredients] == ["real gain"]
    assert found.ingredients[0].alone == found.ingredients[0].missing == found.whole
    assert [variant.name for variant in trained.asked] == ["parent", "child"]


THIRDS = (1 / 3, 1.0, 3.0)


def test_a_gain_that_needs_another_learning_rate() -> None:
    def accuracy(present: set[str], rate: float) -> float:
        return 0.5 + 0.05 * ("alpha" in present and rate == 3)

    assert labels(accuracy, "alpha", "beta") == ["within noise", "within noise"]
    assert labels(accuracy, "alpha", "beta", rates=THIRDS) == [
        "only with a learning-rate change",
        "within noise",
    ]


def test_a_gain_that_another_learning_rate_gives_the_parent_too() -> None:
    def accuracy(present: set[str], rate: float) -> float:
        return 0.55 if "alpha" in present or rate == 3 else 0.5

    assert (
        labels(accuracy, "alpha", "beta", rates=THIRDS)[0] == "only at the recipe's learning rate"
    )
    text = "\n".join(summary(attribute(PARENT, change("alpha"), Trained(accuracy), THIRDS)))
    assert "at the best rates, x1 and x3: within noise" in text


def test_a_gain_at_every_learning_rate_is_real() -> None:
    assert labels(lambda present, rate: 0.5 + 0.05 * ("beta" in present), "beta", rates=THIRDS) == [
        "real gain"
    ]


def test_a_rate_that_cannot_be_trained_is_not_the_best() -> None:
    def accuracy(present: set[str], rate: float) -> float | None:
        return None if rate == 3 else 0.5 + 0.05 * len(present)

    assert labels(accuracy, "alpha", rates=THIRDS) == ["real gain"]


def test_what_is_not_valid_alone_is_named_and_the_rest_goes_on() -> None:
    def accuracy(present: set[str], rate: float) -> float | None:
        return None if present == {"alpha"} else 0.5 + 0.05 * len(present)

    found = attribute(PARENT, change("alpha", "beta"), Trained(accuracy))
    first, second = found.ingredients
    assert (first.label, second.label) == ("not valid alone", "real gain")
    assert first.alone.failure == second.missing.failure == INVALID
    text = "\n".join(summary(found))
    assert "1. not valid alone: LRA301 causality: it looks ahead" in text
    assert "the child, against the child without it: not trained: LRA301 causality" in text


def test_what_is_valid_together_alone_is_one_ingredient() -> None:
    """As a forward and its step: two stretches that must say the same."""

    def accuracy(present: set[str], rate: float) -> float | None:
        together = len({"alpha", "gamma"} & present)
        return None if together == 1 else 0.5 + 0.02 * together

    found = attribute(PARENT, change("alpha", "beta", "gamma"), Trained(accuracy))
    assert [one.label for one in found.ingredients] == ["real gain", "within noise"]
    assert found.ingredients[0].parts == ("alpha changed", "gamma changed")


def test_three_of_which_no_two_are_valid_are_one_ingredient() -> None:
    found = attribute(
        PARENT,
        change("alpha", "beta", "gamma"),
        Trained(lambda present, rate: None if len(present) in (1, 2) else 0.5 + len(present) / 9),
    )
    assert [one.label for one in found.ingredients] == ["real gain"]


def test_a_partner_that_is_not_valid_alone_is_found() -> None:
    def accuracy(present: set[str], rate: float) -> float | None:
        if present == {"gamma"}:
            return None
        return 0.5 + 0.05 * ({"alpha", "gamma"} <= present)

    found = attribute(PARENT, change("alpha", "beta", "gamma"), Trained(accuracy))
    assert found.ingredients[0].partners == (3,)


def test_one_seed_is_too_few_without_a_noise_floor_and_enough_with_one() -> None:
    def accuracy(present: set[str], rate: float) -> float:
        return 0.5 + 0.05 * len(present)

    assert labels(accuracy, "alpha", seeds=1) == ["too few seeds"]
    floor = make_noise(0.005, 20)
    found = attribute(PARENT, change("alpha"), Trained(accuracy, 1), noise=floor)
    assert found.ingredients[0].label == "real gain"
    tuned = attribute(PARENT, change("alpha"), Trained(lambda p, r: r / 9, 1), (1.0, 3.0), floor)
    assert tuned.whole.tuned is not None
    assert tuned.whole.tuned.verdict == "too few seeds"  # the floor is the recipe's


@pytest.mark.parametrize("broken", [set(), {"alpha", "beta"}])
def test_parent_or_child_that_cannot_be_trained_ends_it(broken: set[str]) -> None:
    with pytest.raises(CandidateRefused, match="it looks ahead"):
        labels(lambda present, rate: None if present == broken else 0.5, "alpha", "beta")


def test_the_same_code_has_no_ingredients() -> None:
    with pytest.raises(UsageError, match="two files with the same code"):
        attribute(PARENT, PARENT + "# more\n", Trained(lambda present, rate: 0.5))


def test_an_attribution_can_be_written_down() -> None:
    found = attribute(PARENT, change("alpha", "beta"), Trained(lambda p, r: 0.5 + r / 9), THIRDS)
    assert from_json(Attribution, to_json(found)) == found


SETTINGS = DesignSettings(
    task="recall-probe",
    probes=(),
    scale="smoke",
    mode="causal",
    agent_seed=0,
    budget=Budget(attempts=3),
    num_seeds=2,
    isolation="standard",
)


def family(*sources: str | None) -> list[Attempt]:
    """A line of attempts; one that follows a None has no scores."""
    kept: list[Attempt] = []
    scored = True
    for source in sources:
        if source is None:
            scored = False
            continue
        parents = (hash_source(kept[-1].proposal.source),) if kept else ()
        kept.append(attempt(len(kept), source, 0.5 if scored else None, parents=parents))
        scored = True
    return kept


def command_of(attempts: list[Attempt], source: str, folder: str) -> str:
    found = winners_change(attempts, Entrant("winner", source, "an agent"))
    assert found is not None
    return attributing_command(found, SETTINGS, RunFolder(Path(folder)))


def test_a_winner_with_several_changes_is_told_the_command() -> None:
    child = change("alpha", "gamma")
    told = command_of(family(PARENT, child), child, "my runs/a")
    assert shlex.split(told)[2:4] == ["my runs/a/candidates/000.py", "my runs/a/candidates/001.py"]
    assert "--task recall-probe --scale smoke --mode causal --seeds 2" in told
    assert shlex.split(told)[-4:] == ["--out", "my runs/a/trainings", "--isolation", "standard"]


def test_the_parent_is_the_nearest_that_was_scored() -> None:
    broken, child = change("alpha", "beta"), change("alpha", "gamma")
    told = command_of(family(PARENT, None, broken, child), child, "a")
    assert shlex.split(told)[2:4] == ["a/candidates/000.py", "a/candidates/002.py"]


@pytest.mark.parametrize(
    "line",
    [
        (change("alpha", "beta"),),
        (PARENT, change("alpha")),
        (None, PARENT, change("alpha", "beta")),
    ],
)
def test_there_is_nothing_to_tell_of(line: tuple[str | None, ...]) -> None:
    child = line[-1]
    assert child is not None
    assert winners_change(family(*line), Entrant("winner", child, "an agent")) is None


def explained_after(
    files: list[str], folder: Path, *, trains: bool = True
) -> tuple[str, RunFolder]:
    """What is printed of a run whose winner is the child of the other file."""
    before, after = (Path(file).read_text() for file in files)
    settings = dataclasses.replace(SETTINGS, task="listops-mini", num_seeds=5)
    attempts = family(before, after)
    found = winners_change(attempts, Entrant("the winner", after, "an agent"))
    assert found is not None
    run_folder = RunFolder(folder)
    walls: Any = None
    with Crew(1) as crew:
        judging = Judging(settings, run_folder, walls, walls, crew)
        return explained(found, judging, Display(), trains=trains), run_folder


def identity(job: Job) -> str:
    """All of a job that its run's id depends on."""
    return to_json(dataclasses.replace(job, name="", origin="candidate", agent=None))


def test_a_winner_is_attributed_by_the_trainings_of_the_command(
    files: list[str], quick: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same jobs, whatever they are called, and no test split."""
    text, folder = explained_after(files, tmp_path / "run")
    said = capsys.readouterr().err
    assert "attribution of the winner's 3 changes: about 35 trainings, 1 at a time" in said
    assert "--no-attribution leaves it out" in said
    assert text.startswith("\nattempt 1 against attempt 0 on listops-mini, 5 seed(s), validation")
    assert "1. real gain" in text
    assert text.endswith("--isolation standard --tuned-rates")
    kept = from_json(Attribution, folder.attribution.read_bytes())
    assert [one.label for one in kept.ingredients] == ["real gain", "within noise"]
    ours = {identity(job) for job in quick}
    assert not folder.board.exists()
    quick.clear()
    assert run(asked(files, tmp_path)) == 0
    assert {identity(job) for job in quick} == ours
    quick.clear()
    assert explained_after(files, tmp_path / "run")[0] == text
    assert "attribution of the winner's" not in capsys.readouterr().err


def test_a_winner_may_be_left_to_the_command(
    files: list[str], quick: list[Job], tmp_path: Path
) -> None:
    text, folder = explained_after(files, tmp_path / "run", trains=False)
    assert text.startswith("\nwhich of its changes made it better:\n  lra-design attribute ")
    assert "--tuned-rates" not in text
    assert not quick
    assert not folder.attribution.exists()


def test_a_winner_whose_ancestor_cannot_be_trained_is_left_to_the_command(
    files: list[str],
    quick: list[Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = SimpleNamespace(valid=False, findings=(INVALID,))
    monkeypatch.setattr(attributing, "kept_report", lambda *rest: refused)
    text, folder = explained_after(files, tmp_path / "run")
    assert text.startswith("\nwhich of its changes")
    assert "no attribution: " in capsys.readouterr().err
    assert not folder.attribution.exists()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A reference, and one with a bias and with twice the mean in its two forms."""
    parent = (ROOT / "mechanisms" / "mean.py").read_text()
    child = parent.replace("bias=False", "bias=True")
    child = child.replace("out(mean_BLD)", "out(2 * mean_BLD)").replace("out(sum", "out(2 * sum")
    (tmp_path / "parent.py").write_text(parent)
    (tmp_path / "child.py").write_text(child)
    return [str(tmp_path / "parent.py"), str(tmp_path / "child.py")]


class Report:
    def __init__(self, source: str) -> None:
        self.valid = ("2 * mean" in source) == ("2 * sum" in source)
        self.findings = () if self.valid else (INVALID,)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The command with a stand-in for isolation, validation and training; what was trained."""
    trained: list[Job] = []

    def train(job: Job, isolation: Any, place: Path, on_progress: Any) -> Run:
        trained.append(job)
        accuracy = 0.5 + 0.05 * ("bias=True" in job.source) + NOISE[job.seed]
        score = make_score(job.task, "validation", accuracy)
        return make_run(job.name, job.seed, None, validation=score)

    opened = contextlib.nullcontext()
    module = sys.modules["lra_design.cli.attribute"]
    monkeypatch.setattr(module, "isolation", lambda level, card=None: opened)
    monkeypatch.setattr("lra_design.cli.preparing.generate_shown", lambda task, display: None)
    monkeypatch.setattr(attributing, "kept_report", lambda source, *rest: Report(source))
    monkeypatch.setattr(screening, "train", train)
    return trained


def asked(files: list[str], tmp_path: Path, *options: str) -> list[str]:
    where = ["--task", "listops-mini", "--device", "cpu", "--out", str(tmp_path / "kept")]
    return ["attribute", *files, *where, *options]


def test_the_command_names_what_helped(
    files: list[str], quick: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked(files, tmp_path, "--workers", "2")) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("child against parent on listops-mini, 5 seed(s), validation")
    assert "1. real gain\n   Mean.__init__ changed" in printed.out
    assert "2. within noise\n   Mean.forward changed, Mean.step changed" in printed.out
    assert "+        out_BLD: Tensor = self.dropout(self.out(2 * mean_BLD))" in printed.out
    assert "parent with the change at line 40: LRA301 causality: it looks ahead" in printed.err
    assert len({(job.source, job.seed) for job in quick}) == len(quick) == 4 * 5


def test_the_command_tries_other_learning_rates(
    files: list[str], quick: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked(files, tmp_path, "--seeds", "2", "--tuned-rates", "--json")) == 0
    found = from_json(Attribution, capsys.readouterr().out)
    assert found.rates == pytest.approx(THIRDS)
    rates = {job.train.learning_rate for job in quick}
    assert len(rates) == 3
    assert max(rates) == pytest.approx(9 * min(rates))
    assert len(quick) == 4 * 2 * 3


def test_the_same_file_twice_is_a_mistake(
    files: list[str], quick: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked([files[0], files[0]], tmp_path)) == 2
    assert "two files with the same code" in capsys.readouterr().err


def test_an_invalid_child_is_the_candidates_fault(
    files: list[str], quick: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = Path(files[1])
    child.write_text(child.read_text().replace("2 * sum", "sum"))
    assert run(asked(files, tmp_path)) == 1
    printed = capsys.readouterr().err
    assert "child: LRA301 causality: it looks ahead" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_an_attribution_from_end_to_end_and_once_more(
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Real validation and trainings of a few steps; the second call reads everything."""
    for key, recipe in RECIPES.items():
        host = dataclasses.replace(recipe.host, d_model=14, d_mlp=19)
        train = dataclasses.replace(recipe.train, num_steps=10, batch_size=31, evaluate_every=5)
        monkeypatch.setitem(RECIPES, key, recipes.Recipe(host, train))
    assert run(asked(files, tmp_path, "--seeds", "2", "--json")) == 0
    printed = capsys.readouterr()
    assert "parent with the change at line 40: LRA" in printed.err
    found = from_json(Attribution, printed.out)
    assert [one.parts for one in found.ingredients] == [
        ("Mean.__init__ changed",),
        ("Mean.forward changed", "Mean.step changed"),
    ]
    assert found.whole.fixed is not None
    assert found.whole.fixed.seeds == (0, 1)
    kept = sorted((tmp_path / "kept").rglob("run.json"))
    assert len(kept) == 4 * 2
    assert run(asked(files, tmp_path, "--seeds", "2", "--json")) == 0
    assert from_json(Attribution, capsys.readouterr().out) == found
    assert sorted((tmp_path / "kept").rglob("run.json")) == kept
