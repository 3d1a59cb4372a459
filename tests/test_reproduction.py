"""Reproducing published results: the plan, what counts as done, and published beside ours."""

from __future__ import annotations

import dataclasses
import json
import math
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import twin_case
from run_records import make_run, make_score

from leaderboards import reproduction
from leaderboards.human import FLAG_MEANING
from leaderboards.reproduction import (
    RECORDS,
    TASKS,
    Line,
    give_back,
    jobs_in_order,
    make_job,
    make_plan,
    reproduces,
    select,
)
from leaderboards.reproduction_table import cells, missing_lines, notes, plan_lines
from leaderboards.side_by_side import SideBySide, agreements, side_by_side
from leaderboards.store import Store
from lra_design.cli import run
from lra_design.cli.reproduce import _device
from lra_design.cli.run_folder import locked
from lra_design.errors import UsageError
from lra_design.records import Run
from mechanisms import reference_hash
from tasks.registry import get_task
from trainers.host import Host
from trainers.job import task_shape
from trainers.network_checks import parameter_cap

ROOT = Path(__file__).parent.parent


def trained(mechanism: str, task: str, seed: int, accuracy: float, **changes: Any) -> Run:
    """A record of the training that would be asked for today."""
    scale = "small" if task.endswith("-v1") else "smoke"
    job = make_job(mechanism, task, scale, seed)
    score = dataclasses.replace(make_score(task, "test", accuracy), num_examples=2_000)
    asked = {"task": task, "scale": scale, "mode": "bidirectional", "test": score}
    asked |= {"host": job.host, "train": job.train, "source_hash": reference_hash(mechanism)}
    asked |= {"hyperparameters": job.hyperparameters}
    return make_run(
        mechanism, seed, accuracy, run_id=f"{mechanism}-{task}-{seed}", **asked | changes
    )


def lines(tasks: tuple[str, ...], mechanisms: tuple[str, ...], *runs: Run) -> list[Line]:
    scale = "small" if tasks[0].endswith("-v1") else "smoke"
    return make_plan(select(tasks, mechanisms, scale, 2), runs)


def test_the_plan_goes_from_the_smallest_to_the_largest() -> None:
    plan = make_plan(select((), (), "small", None), [])
    assert [line.task for line in plan[::6]] == [
        "listops-v1",
        "text-v1",
        "retrieval-imdb-v1",  # the pairs of papers are not here
        "image-v1",
        "pathfinder32-v1",
    ]
    assert [line.mechanism for line in plan[:6]] == list(reproduction.MECHANISMS)
    tokens = {line.task: line.num_tokens for line in plan}
    assert tokens["listops-v1"] == 5_000 * 32 * 2_000
    assert tokens["retrieval-imdb-v1"] == 30_000 * 32 * 2 * 4_000
    assert plan[0].hours == pytest.approx(4.3 / 20)  # a tenth of the steps, half the length
    assert plan[0].command == (
        "lra-design reproduce listops-v1 --mechanisms softmax --scale small --seeds 1"
    )


def test_every_line_gets_its_first_seed_before_any_gets_its_second() -> None:
    plan = lines(("pathfinder-mini", "listops-mini"), ("softmax", "s4d"))
    done = [(job.task, job.name, job.seed) for job in jobs_in_order(plan)]
    both = [(t, m) for t in ("listops-mini", "pathfinder-mini") for m in ("softmax", "s4d")]
    assert done == [(*pair, seed) for seed in (0, 1) for pair in both]


def test_what_is_left_is_trained_on_the_device_that_is_asked_for() -> None:
    """And what was trained on another one is not trained again."""
    done = trained("softmax", "listops-mini", 0, 0.4)
    selection = select(("listops-mini",), ("softmax",), "smoke", 2)
    (job,) = jobs_in_order(make_plan(selection, [done], "cuda"))
    assert (job.seed, job.device) == (1, "cuda")
    assert _device("cuda", "slurm?gpus=1") == "cuda"  # the card is there, not here
    with pytest.raises(UsageError, match="expected a card for 'cuda'"):
        _device("cuda", "local")


def test_a_task_whose_data_is_not_here_is_named_with_its_command_and_stops_nothing() -> None:
    plan = lines(("text-mini", "listops-mini"), ("softmax",))
    assert {job.task for job in jobs_in_order(plan)} == {"listops-mini"}
    (missing,) = missing_lines(plan)
    assert missing == (
        "text-mini is not on this machine: lra-design data prepare text-mini [--source PATH]"
    )
    (asked,) = make_plan(select(("retrieval-v1",), ("mega",), "small", 1), [])
    assert asked.task == "retrieval-v1"  # named, so nothing stands in for it
    assert not asked.is_here


def test_what_has_a_record_is_not_to_do_again_whoever_made_it() -> None:
    elsewhere = dataclasses.replace(make_run("x", 0, 0.5).versions, torch="2.99")
    runs = [
        trained("softmax", "listops-mini", 1, 0.4, source="", versions=elsewhere),
        trained("softmax", "listops-mini", 1, 0.5),
        trained("softmax", "listops-mini", 7, 0.3),
        trained("mean", "listops-mini", 0, 0.2),
    ]
    (line,) = lines(("listops-mini",), ("softmax",), *runs)
    assert line.runs == (runs[0], runs[2])  # the first of a seed; more seeds than asked for
    assert [job.seed for job in line.to_do] == [0]
    assert line.num_stale == 0


@pytest.mark.parametrize(
    "change",
    [
        {
            "train": dataclasses.replace(
                make_job("mega", "listops-mini", "smoke", 0).train, num_steps=9
            )
        },
        {"host": make_job("mega", "text-mini", "smoke", 0).host},
        {"source_hash": "of another version"},
        {"mode": "causal"},
        {"hyperparameters": {"width": 3}},
        {"setting": "tuned"},
        {"test": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_record_of_another_recipe_or_source_is_stale(change: dict[str, Any]) -> None:
    stale = trained("mega", "listops-mini", 0, 0.4, **change)
    (line,) = lines(("listops-mini",), ("mega",), stale)
    assert (line.runs, [job.seed for job in line.to_do]) == ((), [0, 1])
    assert line.num_stale == 1
    assert "0 done, 1 stale, 2 to do" in "\n".join(plan_lines([line]))


def test_a_record_of_other_files_than_those_here_is_none_of_this_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, job = (
        trained("linear", "image-mini", 0, 0.3),
        make_job("linear", "image-mini", "smoke", 0),
    )
    assert reproduces(found, job)  # nothing is here that it could differ from
    monkeypatch.setattr(reproduction, "is_prepared", lambda task, split: True)
    for here, same in (("other files", False), ("image-mini-test", True)):
        stored = type("Stored", (), {"sha256": here})
        monkeypatch.setattr(reproduction, "describe_split", lambda task, split, s=stored: s)
        assert reproduces(found, job) is same


def beside(mechanism: str, task: str, *accuracies: float) -> SideBySide:
    runs = [trained(mechanism, task, seed, a) for seed, a in enumerate(accuracies)]
    (line,) = make_plan(select((task,), (mechanism,), reproduction_scale(task), 1), runs)
    return side_by_side(line)


def reproduction_scale(task: str) -> Any:
    return "small" if task.endswith("-v1") else "smoke"


def test_published_ours_difference_by_hand() -> None:
    """Softmax on ListOps: 37.10 by the recipe that is ours, 38.37 by another, 36.37 elsewhere."""
    row = beside("softmax", "listops-v1", 0.36, 0.37, 0.38)
    assert row.ours is not None
    assert row.ours.mean == pytest.approx(0.37)
    half = 4.302653 * 0.01 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert (row.ours.low, row.ours.high) == pytest.approx((0.37 - half, 0.37 + half))
    shown = [(p.relation, p.result.size, round(p.difference or 0, 2)) for p in row.published]
    assert shown == [
        ("same recipe", "small", -0.10),
        ("same size", "small", -1.37),
        ("other size", "lra", 0.63),
    ]
    assert row.spread == (0.3710, 0.3837)
    assert cells(row)[0] == (
        "softmax",
        "37.0",
        "34.5–39.5",
        "3",
        "within reach 37.10–38.37",
        "37.10",
        "−0.1",
        "same recipe (small)",
        "mlpen/Nystromformer img/LRA.png",
    )


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(0.375, "within"), (0.36, "within reach"), (0.30, "below"), (0.42, "above")],
)
def test_the_verdict_of_one_seed_is_by_its_interval_over_examples(
    accuracy: float, verdict: str
) -> None:
    """Of 2,000 examples about 2.1 points wide on either side."""
    row = beside("softmax", "listops-v1", accuracy)
    assert row.verdict == verdict
    assert "few seeds: with fewer than 5 an interval says little" in notes([row])


def test_where_nothing_of_the_size_is_published_there_is_no_verdict() -> None:
    row = beside("s4d", "listops-v1", 0.5)
    assert {other.relation for other in row.published} == {"other size"}
    assert (row.spread, row.verdict) == (None, None)
    unread = beside("mega", "image-v1", 0.4)  # published for pixels read as real numbers
    assert cells(unread)[0][5:] == ("–", "–", "–", "nothing is published")
    (nothing,) = make_plan(select(("listops-v1",), ("mega",), "small", 1), [])
    assert side_by_side(nothing).ours is None


def test_of_a_mini_task_no_difference_is_taken() -> None:
    row = beside("softmax", "listops-mini", 0.4)
    assert row.published
    assert {other.relation for other in row.published} == {"other task"}
    assert {other.difference for other in row.published} == {None}
    assert row.verdict is None
    assert any("nothing is published of this task" in note for note in notes([row]))


def test_what_stays_under_the_cap_by_another_hyperparameter_says_so() -> None:
    assert make_job("mega", "listops-mini", "smoke", 0).hyperparameters == {"ema_size": 4}
    assert make_job("mega", "listops-v1", "small", 0).hyperparameters == {}
    shown = list(notes([beside("mega", "listops-mini", 0.4)]))
    assert "mega with ema_size 4, to stay within the parameter cap" in shown


@pytest.mark.parametrize("mechanism", ["s4d", "mega"])
def test_what_is_asked_for_stays_within_the_parameter_cap(mechanism: str) -> None:
    """The others have the parameters of softmax attention, within 1 %."""
    for scale, tasks in TASKS.items():
        for task in tasks:
            job, shape = make_job(mechanism, task, scale, 0), task_shape(get_task(task))
            network = Host(twin_case.load(mechanism), job.hyperparameters, job.host, shape)
            num_parameters = sum(parameter.numel() for parameter in network.parameters())
            assert num_parameters <= parameter_cap(job.host, shape), task


def test_a_flagged_number_is_shown_and_never_part_of_a_spread() -> None:
    row = beside("softmax", "listops-v1", 0.375)
    first = row.published[0]
    flagged = dataclasses.replace(first.result, flags=(next(iter(FLAG_MEANING)),))
    changed = dataclasses.replace(
        row, published=(dataclasses.replace(first, result=flagged), *row.published[1:])
    )
    assert changed.spread == (0.3837, 0.3837)
    assert cells(changed)[0][5] == "37.10 [unconfirmed]"


def test_the_order_of_ours_beside_that_of_the_published_by_hand() -> None:
    """Text, small, mean of both tables: Nystromformer 65.18, Performer 64.0, softmax 63.49."""
    accuracies = {"softmax": 0.64, "nystromformer": 0.66, "performer": 0.62, "linear": 0.60}
    rows = [beside(name, "text-v1", accuracy) for name, accuracy in accuracies.items()]
    small, any_size = agreements(rows)
    assert small.published == ("nystromformer", "performer", "softmax")
    assert small.ours == ("nystromformer", "softmax", "performer")
    assert small.tau == pytest.approx(1 / 3)  # two of three pairs in order
    assert small.num_orders == 6
    assert any_size.published == ("linear", "nystromformer", "performer", "softmax")
    assert any_size.tau == pytest.approx(-1 / 3)  # and the three pairs with linear are not
    assert agreements(rows[:2]) == []


def test_records_are_given_back_once_and_without_sources(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [trained("softmax", "listops-mini", seed, 0.4) for seed in (0, 1)]
    unsafe = dataclasses.replace(runs[0].isolation, level="unsafe")
    others = [
        trained("softmax", "listops-mini", 2, 0.4, origin="candidate"),
        trained("softmax", "listops-mini", 3, 0.4, isolation=unsafe),
        trained("softmax", "listops-mini", 4, 0.4, mode="causal"),
        trained("softmax", "listops-mini", 5, 0.4, scale="full"),
    ]
    assert give_back([*runs, *others], store) == 2
    assert give_back([*runs, *others], store) == 0
    assert store.runs() == [dataclasses.replace(run, source="") for run in runs]
    (line,) = lines(("listops-mini",), ("softmax",), *store.runs())
    assert line.to_do == ()


def test_the_records_of_the_project_are_of_todays_recipes_and_sources() -> None:
    """Else docs/reproduction.md loses them: train again, or say why they were left out."""
    for found in Store(RECORDS).runs():
        job = make_job(found.name, found.task, found.scale, found.seed)  # type: ignore[arg-type]
        assert reproduces(found, job), found.run_id
        assert found.source == ""
        assert found.isolation.level != "unsafe"


def test_the_page_is_that_of_the_records() -> None:
    page = runpy.run_path(str(ROOT / "benchmarks" / "reproduction.py"))
    written = page["PAGE"].read_text(encoding="utf-8").partition(page["MARK"])[2]
    assert written == page["generated"](), "run `python benchmarks/reproduction.py`"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["listops-minni"], "Did you mean 'listops-mini'"),
        (["listops-mini"], "no recipe at scale 'small'"),
        (["--mechanisms", "softmaxx"], "Did you mean 'softmax'"),
        (["--mechanisms", "mamba"], "'mamba' is causal only"),
        (["--seeds", "0"], "--seeds"),
        (["--resume", "--scale", "smoke"], "leave out --resume"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_a_remedy(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reproduce", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_the_list_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["reproduce", "--list", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "lra-design reproduce pathfinder32-v1 --mechanisms mega --scale small" in printed
    assert "hours are a guess from tokens" in printed
    assert "data prepare retrieval-imdb-v1" in printed
    assert "–0.1" not in printed
    assert not out.exists()


ASKED = ["listops-mini", "--mechanisms", "local_window", "--scale", "smoke", "--seeds", "1"]


def test_with_all_records_there_nothing_is_trained_and_they_are_given_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, records = tmp_path / "out", tmp_path / "records"
    own = trained("local_window", "listops-mini", 0, 0.375)
    Store(out / "board").append(own)
    where = ["--out", str(out), "--records", str(records), "--json"]
    assert run(["reproduce", *ASKED, *where, "--export"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["plan"][0]["done"], shown["plan"][0]["to_do"]) == ([0], [])
    assert shown["table"][0]["ours"]["mean"] == 0.375
    assert shown["table"][0]["run_ids"] == [own.run_id]

    # whoever has these records goes on from them, in another folder
    assert Store(records).runs() == [dataclasses.replace(own, source="")]
    elsewhere = ["--out", str(tmp_path / "elsewhere"), "--records", str(records), "--json"]
    assert run(["reproduce", *ASKED, *elsewhere]) == 0
    assert json.loads(capsys.readouterr().out)["table"] == shown["table"]

    # and --resume knows what was asked for
    assert run(["reproduce", "--resume", *where]) == 0
    assert json.loads(capsys.readouterr().out) == shown


def test_resume_without_a_folder_is_the_whole_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--resume", "--list", "--json", "--out", str(tmp_path / "none")]
    assert run(["reproduce", *arguments]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert len(plan) == 30
    assert {line["scale"] for line in plan} == {"small"}


def test_a_folder_in_use_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path):
        assert run(["reproduce", *ASKED, "--out", str(tmp_path)]) == 2
    assert "another process is working in" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_command_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    """Killed in the second of two trainings; the first is not repeated."""
    records = tmp_path / "records"
    command = [sys.executable, "-c", FEW_STEPS, "reproduce", "listops-mini", "--scale", "smoke"]
    command += ["--mechanisms", "mean,identity", "--seeds", "1", "--json", "--export"]
    command += ["--out", str(tmp_path / "out"), "--records", str(records)]
    store = Store(tmp_path / "out" / "board")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not store.runs():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    (first,) = store.runs()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line["done"] for line in json.loads(done.stdout)["plan"]] == [[0], [0]]
    assert store.runs()[0] == first
    assert [one.name for one in store.runs()] == ["mean", "identity"]
    assert len(Store(records).runs()) == 2


FEW_STEPS = """
import dataclasses, sys
from trainers import recipes
for key, r in recipes.RECIPES.items():
    train = dataclasses.replace(r.train, num_steps=8, batch_size=31, evaluate_every=4)
    recipes.RECIPES[key] = recipes.Recipe(r.host, train)
from lra_design.cli import run
from lra_design.cli.reproduce import _device
from lra_design.cli.run_folder import locked
from lra_design.errors import UsageError
sys.exit(run(sys.argv[1:]))
"""
