"""`compare`, `noise` and `proxy` as a stranger uses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_records import make_run, make_score
from test_noise import RECIPE, make_row, make_training

from leaderboards import repeats as repeats_file
from leaderboards.repeats import Repeats
from leaderboards.store import Store
from lra_design.cli import run
from lra_design.records import Run, to_json
from mechanisms import REFERENCES
from trainers.fidelity import shortened

Write = Callable[[Sequence[Repeats]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Puts other measurements in place of those of the project; none to begin with."""
    path = tmp_path / "repeats.jsonl"
    monkeypatch.setattr(repeats_file, "PATH", path)
    return lambda rows: path.write_text("".join(to_json(row) + "\n" for row in rows)) and None


def validated(name: str, accuracies: Sequence[float], **changes: Any) -> list[Run]:
    score = make_score("listops-mini", "validation", 0.5)
    recipe = {"host": RECIPE.host, "train": RECIPE.train}
    return [
        make_run(name, seed, None, **recipe | {"validation": replace(score, accuracy=a)} | changes)
        for seed, a in enumerate(accuracies)
    ]


def trained(folder: Path, runs: Sequence[Run]) -> str:
    for one in runs:
        path = folder / one.name / one.run_id / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(one))
    return str(folder / runs[0].name)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    better = validated("better", [0.500, 0.512])
    worse = validated("worse", [0.480, 0.480])
    return trained(tmp_path, better), trained(tmp_path, worse)


def test_two_seeds_need_the_noise_floor(
    folders: tuple[str, str], write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *folders]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("better against worse on listops-mini, validation split\n")
    assert "within noise: +2.60 points in the mean of 2 seed(s)" in printed
    assert "it rests on these seeds alone" in printed
    names = REFERENCES[:6]
    write([make_row(name, [0.400, 0.401 + i / 2000, 0.399]) for i, name in enumerate(names)])
    assert run(["compare", *folders]) == 0
    printed = capsys.readouterr().out
    assert "\nbetter: +2.60 points" in printed
    assert "of them from the noise floor" in printed
    assert run(["compare", *reversed(folders), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["one"], found["verdict"], found["seeds"]) == ("worse", "worse", [0, 1])


def test_the_floor_of_another_recipe_is_none(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write([make_row(name, [0.400, 0.401]) for name in REFERENCES[:6]])
    recipe = {"train": shortened(RECIPE.train, 0.5)}
    one, other = validated("one", [0.5, 0.512], **recipe), validated("other", [0.4, 0.48], **recipe)
    assert run(["compare", trained(tmp_path, one), trained(tmp_path, other)]) == 0
    assert "no noise floor is measured under these conditions" in capsys.readouterr().out


def test_names_are_looked_up_on_the_board(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "board")
    for name, accuracies in {"a": [0.5, 0.6], "b": [0.5]}.items():
        for seed, accuracy in enumerate(accuracies):
            store.append(make_run(name, seed, accuracy))
            other = make_run(name, seed, accuracy, task="text-mini", run_id=f"{name}{seed}")
            store.append(other)
    board = ["--board", str(tmp_path / "board"), "--split", "test"]
    assert run(["compare", "a", "b", *board, "--task", "text-mini"]) == 0
    assert "too few seeds: +0.00 points in the mean of 1 seed(s)" in capsys.readouterr().out
    for arguments, message in [
        (["a", "b"], "holds runs that differ in task (listops-mini and text-mini)"),
        (
            ["a", "bb", "--task", "text-mini"],
            "unknown mechanism on the board 'bb'. Did you mean 'b'?",
        ),
        (["a", "b", "--task", "image-mini"], "a has no run with a test score on image-mini"),
    ]:
        assert run(["compare", *arguments, *board]) == 2
        assert message in capsys.readouterr().err
    assert run(["compare", "a", "b", "--board", str(tmp_path / "none")]) == 2
    assert "'a' is no folder, and there is no leaderboard in" in capsys.readouterr().err


def test_what_is_not_alike_is_not_compared(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    one = trained(tmp_path, validated("one", [0.5, 0.6]))
    small = trained(tmp_path, validated("small", [0.5], scale="small"))
    other_data = make_score("listops-mini", "validation", 0.5)
    other_split = trained(
        tmp_path, validated("split", [0.5], validation=replace(other_data, split_hash="x"))
    )
    assert run(["compare", one, small]) == 2
    assert "one and small differ in scale (smoke and small)" in capsys.readouterr().err
    assert run(["compare", one, other_split]) == 2
    assert "one and split differ in their validation split" in capsys.readouterr().err
    assert run(["compare", one, one, "--split", "test"]) == 2
    assert "Score them with `lra-design score`" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(["compare", one, str(tmp_path / "empty")]) == 2
    assert "no finished training in" in capsys.readouterr().err


def test_no_common_seed_is_too_few(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = validated("one", [0.5]), [replace(validated("other", [0.6])[0], seed=7)]
    assert run(["compare", trained(tmp_path, one), trained(tmp_path, other)]) == 0
    assert "too few seeds: the two have no seed in common" in capsys.readouterr().out


def test_noise_says_what_is_measured_and_what_is_stale(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["noise", "listops-mini", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "no reference has two seeds yet" in printed
    assert "python benchmarks/noise.py listops-mini --scale smoke" in printed
    crossed = [(0, 0, 0.40), (0, 1, 0.41), (1, 0, 0.44), (1, 1, 0.43), (2, 2, 0.45)]
    trainings = tuple(make_training(i, a, order_seed=j, test=a) for i, j, a in crossed)
    rows = [make_row(name, [], trainings=trainings) for name in ("mean", "softmax")]
    write([*rows, make_row("linear", [0.1, 0.9], source_hash="0" * 64)])
    assert run(["noise", "listops-mini", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "validation 2.52 points" in printed
    assert "test       2.52 points" in printed
    assert "8 trainings of 2 reference(s)" in printed
    assert "left out: linear.py was changed since" in printed
    assert run(["noise", "listops-mini", "smoke", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [floor["split"] for floor in found["noise"]] == ["validation", "test"]
    assert found["stale"] == ["linear.py was changed since"]


def test_proxy_says_how_far_a_screening_is_right(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["proxy", "listops-mini", "smoke"]) == 0
    assert "fewer than five references" in capsys.readouterr().out
    names = REFERENCES[:8]
    full = [make_row(name, [0.4 + i / 50, 0.401 + i / 50]) for i, name in enumerate(names)]
    short = [make_row(name, [0.2 + i / 100], share=0.1) for i, name in enumerate(names)]
    write([*full, *short])
    assert run(["proxy", "listops-mini", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "10% of the steps: 8 references, 1 screening(s)" in printed
    assert "of the 28 pairs that differ beyond the noise floor in full it orders 100% right" in (
        printed
    )
    assert "to keep the best of 4 with a probability of 90%, keep 1" in printed
    assert run(["proxy", "listops-mini", "smoke", "--json"]) == 0
    (gap,) = json.loads(capsys.readouterr().out)["proxy"]
    assert (gap["share"], gap["tau"]["value"], gap["recall"][0]) == (0.1, 1.0, 1.0)


@pytest.mark.parametrize("command", ["noise", "proxy"])
def test_a_task_or_scale_that_is_not_there(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "listops-minni", "smoke"]) == 2
    assert "Did you mean 'listops-mini'" in capsys.readouterr().err
    assert run([command, "listops-mini", "full"]) == 2
    assert "It has: smoke" in capsys.readouterr().err
