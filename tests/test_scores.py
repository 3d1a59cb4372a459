"""Scores: intervals and normalised scores against closed forms, grouping and ranks."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from run_records import make_run, make_score
from test_noise import make_row

from leaderboards import repeats
from leaderboards.human import TASK_FAMILIES, anchor
from leaderboards.intervals import normalised_score, student_t_interval, wilson_interval
from leaderboards.scores import Entry, group_by_board, rank
from leaderboards.selection import expected_maximum
from leaderboards.table import board_json, conditions, percent, render_table, signed
from lra_design.errors import RecordError
from lra_design.records import (
    Finding,
    HostConfig,
    Run,
    Trial,
    Tuning,
    TuningProtocol,
    from_json,
    to_json,
)

CHANCE = {"listops-v1": 0.17, "listops-mini": 0.2}
Z = 1.959963984540054
"""0.975 quantile of the normal distribution."""
TUNING = Tuning(
    study="a study",
    protocol=TuningProtocol(
        sampler="any", pruner="none", recipe_hash="0", num_trials=12, max_seconds=3600.0
    ),
    space_hash="1",
    trials=(),
)


def seeds(name: str, accuracies: Sequence[float], **changes: Any) -> list[Run]:
    return [make_run(name, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies)]


def only(runs: list[Run]) -> Entry:
    (entry,) = rank(runs, chance=CHANCE)
    return entry


def test_an_entry_says_how_much_being_chosen_flattered_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [make_row(name, [0.40, 0.42]) for name in ("mean", "softmax")]
    path = tmp_path / "repeats.jsonl"
    path.write_text("".join(to_json(row) + "\n" for row in rows))
    monkeypatch.setattr(repeats, "PATH", path)
    sd = 0.02 / math.sqrt(2)
    trials = tuple(
        Trial(number=i, origin="sampler", outcome=o, accuracy=0.5, seconds=1.0, values={}, run=None)
        for i, o in enumerate(("completed", "pruned", "failed"))
    )
    tuned = replace(TUNING, trials=trials)
    assert only(seeds("a", [0.5])).selection_bias_points is None
    for num_choices, changes in [(3, {"num_attempts": 3}), (2, {"tuning": tuned})]:
        bias = only(seeds("a", [0.5], **changes)).selection_bias_points
        assert bias == pytest.approx(100 * sd * expected_maximum(num_choices))
    entries = rank(seeds("a", [0.5], num_attempts=3), chance=CHANCE)
    console = Console(file=io.StringIO(), width=80)
    console.print(render_table(entries))
    assert "a: chosen by a val. % at most 1.2 too high" in console.file.getvalue()  # type: ignore[attr-defined]
    path.unlink()
    assert only(seeds("a", [0.5], num_attempts=3)).selection_bias_points is None


# Intervals and NS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "quantile"),
    [
        # With 1 and 2 degrees of freedom the quantile of Student's t is known in closed form.
        ([0.50, 0.51], math.tan(math.pi * 0.475)),
        ([0.50, 0.52, 0.54], 0.95 / math.sqrt(2 * 0.975 * 0.025)),
    ],
    ids=["2-seeds", "3-seeds"],
)
def test_student_t_interval_is_the_closed_form(values: list[float], quantile: float) -> None:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    half = quantile * spread / math.sqrt(len(values))
    assert student_t_interval(values) == pytest.approx((mean - half, mean + half), abs=1e-9)


@pytest.mark.parametrize("num_examples", [7, 2003])
def test_wilson_interval_is_the_closed_form(num_examples: int) -> None:
    n = num_examples
    half = Z / 2 / math.sqrt(n + Z * Z)
    assert wilson_interval(0.5, n) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)
    assert wilson_interval(0.0, n) == pytest.approx((0.0, Z * Z / (n + Z * Z)), abs=1e-12)
    assert wilson_interval(1.0, n) == pytest.approx((n / (n + Z * Z), 1.0), abs=1e-12)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_wilson_interval_holds_its_accuracy_and_stays_in_range(accuracy: float, n: int) -> None:
    low, high = wilson_interval(accuracy, n)
    assert 0 <= low <= accuracy + 1e-12
    assert accuracy - 1e-12 <= high <= 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=11))
def test_student_t_interval_holds_its_mean_and_stays_in_range(values: list[float]) -> None:
    low, high = student_t_interval(values)
    mean = sum(values) / len(values)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.0, 0.0), (0.9, 0.5), (0.99, 1.0), (0.999, 1.5), (1.0, 2.0)],
)
def test_normalised_score_counts_orders_of_magnitude_of_error(
    accuracy: float, expected: float
) -> None:
    # phi(chance) = 0 and phi(sota) = 2; with 5,000 labels a = 1 counts as 1 - 1e-4.
    score = normalised_score(accuracy, chance=0.0, sota=0.99, num_labels=5000)
    assert score == pytest.approx(expected, abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1))
def test_normalised_score_never_falls_when_accuracy_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    scores = [normalised_score(a, chance=0.17, sota=0.64, num_labels=101) for a in (low, high)]
    assert scores[0] <= scores[1]


def test_normalised_score_refuses_anchors_in_the_wrong_order() -> None:
    with pytest.raises(ValueError, match="chance < sota"):
        normalised_score(0.5, chance=0.7, sota=0.6, num_labels=101)


# Entries --------------------------------------------------------------------------------------


def test_an_entry_gathers_its_seeds() -> None:
    finding = Finding(
        check="LRA213",
        name="finite",
        tier="warning",
        expected="finite",
        found="inf",
        likely_cause="exp",
        hint="subtract the maximum",
    )
    runs = [
        make_run("softmax", 2, 0.40, findings=(finding,)),
        make_run("softmax", 0, 0.44, num_attempts=7),
        make_run("softmax", 1, None, findings=(finding,)),
    ]
    entry = only(runs)
    assert entry.seeds == (0, 2)
    assert entry.run_ids == ("softmax-0", "softmax-1", "softmax-2")
    assert entry.test is not None
    assert entry.test.mean == pytest.approx(0.42)
    assert entry.test.kind == "student-t over seeds"
    assert entry.validation == pytest.approx(0.5)
    assert entry.findings == (finding,)
    assert entry.num_attempts == 7
    assert from_json(Entry, to_json(entry)) == entry


def test_one_seed_gets_an_interval_over_examples() -> None:
    entry = only([make_run("softmax", 0, 0.5)])
    assert entry.test is not None
    assert entry.test.kind == "wilson over examples"
    assert (entry.test.low, entry.test.high) == wilson_interval(0.5, 401)


def test_what_is_missing_is_none() -> None:
    entry = only([make_run("softmax", 0, None, validation=None)])
    assert entry.test is None
    assert entry.validation is None
    assert entry.seeds == ()
    assert (entry.gap_points, entry.normalised, entry.rank) == (None, None, None)
    assert not entry.tied_with_best


def test_a_task_without_a_published_result_has_chance_and_no_gap() -> None:
    entry = only(seeds("softmax", [0.4, 0.5]))
    assert entry.chance == 0.2
    assert (entry.gap_points, entry.normalised, entry.normalised_capped) == (None, None, None)


@pytest.mark.parametrize(
    ("accuracy", "capped"), [(0.1, 0.0), (0.4, None), (0.7, 1.0)], ids=["below", "within", "above"]
)
def test_a_task_with_a_published_result_is_held_against_it(
    accuracy: float, capped: float | None
) -> None:
    entry = only([make_run("softmax", 0, accuracy, task="listops-v1")])
    expected = normalised_score(accuracy, chance=0.17, sota=0.6385, num_labels=401)
    assert entry.gap_points == pytest.approx(100 * (accuracy - 0.6385))
    assert entry.normalised == pytest.approx(expected)
    assert entry.normalised_capped == (pytest.approx(expected) if capped is None else capped)


def test_without_chance_there_is_a_gap_and_no_normalised_score() -> None:
    (entry,) = rank([make_run("softmax", 0, 0.5, task="listops-v1")], chance={})
    assert entry.gap_points == pytest.approx(-13.85)
    assert (entry.chance, entry.normalised) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"source_hash": "another"},
        {"task": "listops-v1"},
        {"scale": "full"},
        {"setting": "tuned"},
        {"mode": "bidirectional"},
        {"tuning": TUNING},
        {"hyperparameters": {"width": 3}},
        {
            "host": HostConfig(
                d_model=5, num_heads=1, num_layers=2, d_mlp=11, causal=True, positions="none"
            )
        },
        {"train": replace(make_run("", 0, None).train, num_steps=17)},
        {"test": replace(make_score("listops-mini", "test", 0.5), split_hash="another")},
        {"validation": replace(make_score("listops-mini", "test", 0.5), split_hash="another")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_runs_under_other_conditions_are_another_entry(changes: dict[str, Any]) -> None:
    runs = [make_run("softmax", 0, 0.5), make_run("softmax", 1, 0.5, **changes)]
    assert len(rank(runs, chance=CHANCE)) == 2


def test_entries_tuned_with_another_budget_are_on_another_board() -> None:
    more = replace(TUNING, protocol=replace(TUNING.protocol, num_trials=24))
    other_space = replace(TUNING, space_hash="2")  # a mechanism's own space is its own affair
    runs = [
        make_run("softmax", 0, 0.5, setting="tuned", tuning=TUNING),
        make_run("linear", 0, 0.5, setting="tuned", tuning=other_space),
        make_run("luckier", 0, 0.6, setting="tuned", tuning=more),
    ]
    boards = group_by_board(rank(runs, chance=CHANCE))
    assert sorted(len(entries) for entries in boards.values()) == [1, 2]
    assert {conditions(board).split("; ")[1] for board in boards} == {
        "tuned in 12 trials or 3,600 device-seconds",
        "tuned in 24 trials or 3,600 device-seconds",
    }


def test_running_a_seed_again_does_not_replace_its_score() -> None:
    first = make_run("softmax", 0, 0.4)
    again = make_run("softmax", 0, 0.6, run_id="again", versions=replace(first.versions, torch="3"))
    unscored = make_run("softmax", 0, None, run_id="unscored")
    entry = only([unscored, first, again])
    assert entry.test is not None
    assert entry.test.mean == 0.4
    assert entry.run_ids == ("softmax-0",)


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, -0.1, 1.1])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_score_that_is_no_accuracy_is_refused(accuracy: float, split: str) -> None:
    changes = {split: make_score("listops-mini", split, accuracy)}
    run = make_run("softmax", 0, 0.5, **changes)
    with pytest.raises(RecordError, match=f"expected a {split} accuracy in"):
        rank([run], chance=CHANCE)


def test_one_unsafe_run_makes_the_entry_unsafe() -> None:
    runs = seeds("softmax", [0.4, 0.5])
    runs[1] = replace(runs[1], isolation=replace(runs[1].isolation, level="unsafe"))
    assert only(runs).isolation == "unsafe"


# Ranks ----------------------------------------------------------------------------------------


def test_entries_stand_by_mean_and_only_five_seeds_rank() -> None:
    runs = [
        *seeds("third", [0.30, 0.31, 0.30, 0.31, 0.30]),
        *seeds("four-seeds", [0.60, 0.61, 0.60, 0.61]),
        *seeds("second", [0.500, 0.502, 0.504, 0.502, 0.500]),
        *seeds("best", [0.503, 0.502, 0.504, 0.505, 0.501]),
        make_run("unscored", 0, None),
    ]
    placed = [(e.name, e.rank, e.tied_with_best) for e in rank(runs, chance=CHANCE)]
    assert placed == [
        ("four-seeds", None, False),
        ("best", 1, True),
        ("second", 2, True),
        ("third", 3, False),
        ("unscored", None, False),
    ]


def test_without_enough_seeds_anywhere_the_best_mean_is_the_best() -> None:
    entries = rank([make_run("one", 0, 0.30), make_run("other", 0, 0.5)], chance=CHANCE)
    assert [(e.name, e.rank, e.tied_with_best) for e in entries] == [
        ("other", None, True),
        ("one", None, False),
    ]


def test_boards_are_ranked_apart() -> None:
    runs = seeds("a", [0.3] * 5) + seeds("a", [0.6] * 5, task="listops-v1")
    runs = [replace(run, run_id=f"run-{i}") for i, run in enumerate(runs)]
    entries = rank(runs, chance=CHANCE)
    assert [(e.board.task, e.rank) for e in entries] == [("listops-mini", 1), ("listops-v1", 1)]


@given(st.permutations(seeds("a", [0.3, 0.4, 0.5]) + seeds("b", [0.4, 0.5, 0.6, 0.5, 0.4])))
def test_the_order_of_the_runs_does_not_matter(runs: list[Run]) -> None:
    assert rank(runs, chance=CHANCE) == rank(sorted(runs, key=lambda r: r.run_id), chance=CHANCE)


# The table and the JSON -----------------------------------------------------------------------


def printed(entries: list[Entry]) -> str:
    console = Console(width=80, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render_table(entries))
    return capture.get()


def test_the_table_is_readable_at_80_columns() -> None:
    runs = [
        *seeds("softmax", [0.30, 0.31, 0.30, 0.31, 0.30]),
        make_run("a very long name " * 20, 0, 0.9985, task="listops-v1"),
        make_run("unscored", 0, None),
    ]
    text = printed(rank(runs, chance=CHANCE))
    assert max(map(len, text.splitlines())) <= 80
    assert "30.4" in text
    assert "29.7–31.1" in text
    assert "no published result at this size" in text
    assert "human state of the art 63.85 %" in text
    assert "+36.0" in text
    assert text.count("…") == 1  # the long name's; no number is cut short


@pytest.mark.parametrize(("task", "family"), TASK_FAMILIES.items())
def test_the_table_shows_the_gap_to_the_state_of_the_art_of_every_family(
    task: str, family: str
) -> None:
    (entry,) = rank([make_run("softmax", 0, 0.5, task=task)], chance={task: 0.1})
    best = anchor(family)
    assert best is not None
    assert entry.gap_points == pytest.approx(100 * (0.5 - best.accuracy))
    assert 0 < (entry.normalised or 0) < 1
    text = printed([entry])
    assert max(map(len, text.splitlines())) <= 80
    assert f"human state of the art {100 * best.accuracy:.2f} %" in text


def test_a_gap_on_text_comes_with_its_caveat() -> None:
    entries = rank([make_run("softmax", 0, 0.5, task="text-v1")], chance=CHANCE)
    assert "selected on the test split" in " ".join(printed(entries).split())
    (board,) = board_json(entries)["boards"]
    assert "selected on the test split" in board["gap_note"]
    smaller = rank([make_run("softmax", 0, 0.5, task="text-mini")], chance=CHANCE)
    text = " ".join(printed(smaller).split())
    assert "on text-v1, not comparable: 90.43 % (Mega)" in text
    assert "selected on the test split" not in text


def test_a_name_cannot_steer_the_terminal() -> None:
    text = printed(rank([make_run("\x1b[31mred[bold]\u202e\nx", 0, 0.5)], chance=CHANCE))
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "[bold]" in text


def test_the_json_holds_every_entry_and_no_number_for_what_is_missing() -> None:
    runs = [make_run("softmax", 0, 0.5, task="listops-v1"), make_run("unscored", 0, None)]
    values = json.loads(json.dumps(board_json(rank(runs, chance=CHANCE)), allow_nan=False))
    mini, full = values["boards"]
    assert mini["human_state_of_the_art"] is None
    assert mini["entries"][0]["test"] is None
    assert full["human_state_of_the_art"]["accuracy"] == 0.6385
    assert full["entries"][0]["test"]["mean"] == 0.5


def test_numbers_are_percent_only_when_shown_and_missing_is_a_dash() -> None:
    assert [percent(0.5894), percent(0.6385, 2), percent(None)] == ["58.9", "63.85", "–"]
    assert [signed(1.25, 1), signed(-4.94, 1), signed(None, 1)] == ["+1.2", "−4.9", "–"]


def test_trainings_that_led_nowhere_are_told_on_the_board() -> None:
    runs = [
        *seeds("linear", [0.2, 0.3]),
        make_run("linear", 2, 0.1, divergence="not finite"),
    ]
    entry = only(runs)
    assert entry.divergences == ("not finite",)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_table([entry]))
    assert "linear: 1 training(s) led nowhere, not finite" in console.export_text()
