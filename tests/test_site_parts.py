"""What the pages are made of: rows, columns, figures, differences, commands."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from run_records import make_dossier, make_run, make_score
from site_contents import make_attempts, make_tuning

from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.contents import Contents, Search
from leaderboards.dossiers import by_subject
from leaderboards.scores import rank
from leaderboards.site.agents import agent_views
from leaderboards.site.boards import Row, board_views
from leaderboards.site.charts import Dot, Scale, Series, amount, binary, log_ticks, make_plot
from leaderboards.site.columns import known_columns
from leaderboards.site.commands import reproduction
from leaderboards.site.diffs import (
    MAX_COMPARED_CHARACTERS,
    MAX_COMPARED_LINES,
    Ancestry,
    diff_lines,
    diff_to_nearest,
)
from leaderboards.site.figures import front_views
from leaderboards.site.overall import overall_views, published_means
from leaderboards.site.ranking import rank_views
from lra_design.cli import cli
from lra_design.records import Exponent, Run, Scaling, ScalingPoint
from mechanisms import reference_hash, reference_source
from trainers.recipes import get_variant, recipe_space
from trainers.tuning.space import content_hash

FIVE = ("listops-v1", "text-v1", "retrieval-v1", "image-v1", "pathfinder32-v1")


def runs_of(name: str, mean: float, num_seeds: int = 5, **changes: Any) -> list[Run]:
    """Seeds around a mean, the same spread for all; every name is code of its own."""
    return [
        make_run(name, seed, mean + seed / 1000, **{"source": f"x = '{name}'\n", **changes})
        for seed in range(num_seeds)
    ]


def contents_of(runs: list[Run], *dossiers: Any) -> Contents:
    different = [replace(run, run_id=f"{i}") for i, run in enumerate(runs)]
    return Contents(tuple(different), (), by_subject(dossiers), ())


def views_of(runs: list[Run], *dossiers: Any) -> Any:
    contents = contents_of(runs, *dossiers)
    return board_views(rank(contents.runs, chance={}), contents)


def row_of(run: Run, *dossiers: Any) -> Row:
    (view,) = views_of([run], *dossiers)
    row: Row = view.rows[0]
    return row


def test_a_board_keeps_its_address_when_others_come_and_entries_are_added() -> None:
    (one,) = views_of(runs_of("a", 0.5))
    both = views_of([*runs_of("a", 0.5), *runs_of("b", 0.6), *runs_of("a", 0.5, task="image-v1")])
    assert one.key in [view.key for view in both]
    assert one.key.startswith("board-listops-mini-smoke-fixed-causal-")
    (strange,) = views_of(runs_of("a", 0.5, task='"><script> ..'))
    assert strange.key.startswith("board-script-smoke-fixed-causal-")


def test_ranked_entries_share_a_letter_when_the_seeds_do_not_tell_them_apart() -> None:
    noisy = [
        make_run("noisy", seed, 0.6 + 0.1 * (-1) ** seed, source="x = 9\n") for seed in range(5)
    ]
    few = runs_of("few", 0.62, num_seeds=4)
    (view,) = views_of([*runs_of("best", 0.7), *noisy, *few, *runs_of("last", 0.2)])
    letters = {row.entry.name: row.letters for row in view.rows}
    assert letters == {"best": "a", "noisy": "a", "few": "", "last": "b"}


def test_a_copy_stands_below_the_first_of_its_kind_wherever_it_scored() -> None:
    copy = runs_of("copy", 0.9, source="y = 'first'\n", created_at="2027-01-01T00:00:00Z")
    (view,) = views_of([*copy, *runs_of("middle", 0.7), *runs_of("first", 0.5)])
    shown = [(row.entry.name, row.is_copy) for row in view.rows]
    assert shown == [("middle", False), ("first", False), ("copy", True)]


def test_columns_that_say_nothing_are_left_out() -> None:
    titles = [column.title for column in known_columns([row_of(runs_of("a", 0.5)[0])])]
    assert titles == ["Val., %", "Depth", "Seeds", "Parameters", "Seconds"]
    tuned = replace(make_run("a", 0, 0.6, setting="tuned"), tuning=make_tuning("x"))
    row = row_of(tuned)
    texts = {column.title: column.text(row) for column in known_columns([row])}
    assert texts["Gain"] == "+10.0"


def test_warnings_of_the_certificate_are_those_that_the_runs_do_not_carry() -> None:
    run = make_run("a", 0, 0.5)
    finding: Any = _finding("LRA310", "warning")
    same: Any = _finding("LRA311", "warning")
    dossier = make_dossier("a", findings=(finding, same, _finding("LRA312", "info")))
    row = row_of(replace(run, findings=(same,)), dossier)
    assert row.warnings == (finding,)


def _finding(check: str, tier: Any) -> Any:
    from lra_design.records import Finding

    return Finding(
        check=check, name=check, tier=tier, expected="", found="", likely_cause="", hint=""
    )


def test_scales_place_and_tick() -> None:
    scale = Scale(0.0, 1.0, 10.0, 110.0)
    assert [scale.place(value) for value in (0.0, 0.5, 1.0)] == [10.0, 60.0, 110.0]
    assert scale.ticks == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert Scale(1.0, 100.0, 0.0, 10.0, base=10).place(10.0) == 5.0
    assert log_ticks(256, 4096, 2) == [256, 512, 1024, 2048, 4096]
    assert log_ticks(1.0, 1e9, 10) == [1.0, 1e2, 1e4, 1e6, 1e8]
    assert Scale(300.0, 700.0, 0.0, 10.0, base=10).ticks == [300, 400, 500, 600, 700]
    assert len(Scale(0.0, 1e-30, 0.0, 1.0).ticks) >= 2


def test_a_plot_leaves_out_what_cannot_be_drawn() -> None:
    dots = (Dot(0.0, 1.0, ""), Dot(math.nan, 1.0, ""), Dot(2.0, math.inf, ""), Dot(3.0, 1.0, ""))
    axis = ("x", str)
    plot = make_plot("", [Series("", dots)], x=axis, y=axis, x_base=10)
    assert plot is not None
    assert plot.series[0].dots == (dots[3],)
    assert make_plot("", [Series("", dots[:3])], x=axis, y=axis, x_base=10) is None


def test_amounts_are_brief() -> None:
    assert [amount(n) for n in (7.0, 1234.0, 5.6e6, 2e10)] == ["7", "1.23 k", "5.6 M", "20 G"]
    assert [binary(n) for n in (512.0, 2.0**20, 3.5 * 2**30)] == ["512 B", "1 MiB", "3.5 GiB"]


def test_fronts_are_shown_for_the_costs_that_are_known() -> None:
    def dossier(name: str, flops: float) -> Any:
        point = ScalingPoint(seq_len=4096, flops=flops, peak_memory_bytes=None, seconds=1.0)
        exponent = Exponent(quantity="flops", value=1.0, low=1.0, high=1.0)
        scaling = Scaling(points=(point,), exponents=(exponent,), claimed=None)
        return make_dossier(name, scaling=scaling)

    runs = [*runs_of("cheap", 0.5), *runs_of("dear", 0.7), *runs_of("worse", 0.6)]
    dossiers = [dossier("cheap", 10.0), dossier("dear", 100.0), dossier("worse", 200.0)]
    (view,) = views_of(runs, *dossiers)
    fronts = {
        front.cost: [row.entry.name for row in front.members] for front in front_views(view.rows)
    }
    assert fronts["flops"] == ["cheap", "dear"]
    assert fronts["num_parameters"] == ["dear"]
    assert "peak_memory_bytes" not in fronts


def test_a_difference_shows_changed_lines_and_gives_up_on_long_ones() -> None:
    lines = diff_lines("a\nb\n", "a\nc\n")
    assert lines is not None
    assert [(line.kind, line.text) for line in lines] == [
        ("place", "@@ -1,2 +1,2 @@"),
        ("same", " a"),
        ("removed", "-b"),
        ("added", "+c"),
    ]
    assert diff_lines("a", "a") == ()
    for long in ("a\n" * (MAX_COMPARED_LINES + 1), "a" * (MAX_COMPARED_CHARACTERS + 1)):
        assert diff_lines(long, "a") is None


def test_the_parent_is_found_among_the_attempts() -> None:
    run = make_run("child", 0, 0.5, source_hash="child", source="# child")
    attempts = make_attempts(run, "child")
    search = Search("mine", Path("journal.sqlite"), {}, attempts)
    diff = Ancestry([search]).diff_to_parent(run)
    assert diff is not None
    assert diff.other.startswith("its parent, attempt 0 of mine")
    assert diff.lines is not None
    assert diff.lines[-1].text == "+# child"
    assert Ancestry([search]).diff_to_parent(replace(run, source_hash="other")) is None
    assert Ancestry([]).diff_to_parent(run) is None
    changed = replace(attempts[1].proposal, parents=(reference_hash("linear"),))
    search = Search("mine", Path(), {}, (replace(attempts[1], proposal=changed),))
    diff = Ancestry([search]).diff_to_parent(run)
    assert diff is not None
    assert diff.other == "its parent, linear"


def test_only_a_known_mechanism_is_read_as_the_nearest() -> None:
    def dossier(name: str) -> Any:
        near = Neighbour(name=name, mode="causal", distance=0.5, copy=None, shared_structure=None)
        return make_dossier("a", neighbours=(near,))

    run = make_run("a", 0, 0.5)
    diff = diff_to_nearest(run, dossier("linear"))
    assert diff is not None
    assert diff.other == "linear, the nearest known mechanism"
    assert diff_to_nearest(run, dossier("../../secret")) is None
    assert diff_to_nearest(run, None) is None
    assert diff_to_nearest(replace(run, source=""), dossier("linear")) is None


def test_valid_submissions_are_counted_by_agent_and_apart() -> None:
    attempts = make_attempts(make_run("a", 0, 0.5), "x")
    report = replace(attempts[0].feedback.report, findings=(_finding("LRA1", "error"),))
    refused = replace(attempts[0], feedback=replace(attempts[0].feedback, report=report))
    searches = [
        Search("one", Path(), {"policy": "greedy", "llm": "some-llm"}, (attempts[1], refused)),
        Search("two", Path(), {"policy": "greedy", "llm": "some-llm"}, attempts),
        Search("empty", Path(), {}, ()),
    ]
    (view,) = agent_views(searches)
    assert (view.name, view.num_searches) == ("greedy with some-llm", 2)
    assert (view.num_attempts, view.num_valid, view.valid_rate) == (4, 3, 0.75)
    assert view.low < 0.75 < view.high


def test_published_means_are_of_the_same_size_complete_and_unflagged() -> None:
    small = published_means(("small",))
    assert {one.size for one in small} == {"small"}
    assert [one.accuracy for one in small] == sorted((one.accuracy for one in small), reverse=True)
    assert published_means(()) == ()
    assert not [one for one in published_means(("full",)) if one.system == "S4"]  # real pixels


def test_aggregates_link_to_entries_and_carry_comparable_means() -> None:
    runs = [run for task in FIVE for run in runs_of("a", 0.5, task=task, scale="small")]
    (view,) = overall_views(views_of(runs), contents_of(runs).runs)
    assert view.title == "small · fixed · causal"
    assert view.aggregates[0].complete
    assert set(view.keys) == {"hash-of-a"}
    assert view.published == published_means(("small",))


def test_mean_ranks_need_two_mechanisms_on_two_tasks() -> None:
    means = {"a": 0.7, "b": 0.6, "c": 0.5}
    tasks = ("listops-v1", "listops-mini", "text-v1", "image-v1-window64", "retrieval-v1")
    runs = [
        run
        for task in tasks
        for name, mean in means.items()
        if not (task == "retrieval-v1" and name != "a")  # that task is dropped
        for run in runs_of(name, mean, task=task)
    ]
    (view,) = rank_views(views_of(runs))
    assert len(view.tasks) == 2
    assert view.names == ("a", "b", "c")
    assert view.result.mean_ranks == (1.0, 2.0, 3.0)
    assert rank_views(views_of(runs_of("a", 0.5) + runs_of("a", 0.5, task="text-v1"))) == []
    few = [replace(run, seed=run.seed) for run in runs if run.seed < 4]
    assert rank_views(views_of(few)) == []


def reference_run(**changes: Any) -> Run:
    recipe = get_variant("listops-mini", "smoke").recipe
    run = make_run("linear", 3, 0.5, source=reference_source("linear"), host=recipe.host)
    return replace(run, source_hash=reference_hash("linear"), train=recipe.train, **changes)


def test_the_commands_train_each_seed_again_and_are_commands() -> None:
    commands = reproduction(row_of(reference_run()))
    assert commands[1] == (
        "lra-design train mechanisms/linear.py --task listops-mini --scale smoke --mode causal "
        "--out runs/again --seed 3"
    )
    assert commands[2] == "lra-design score runs/again/* --board runs/again-board"
    for command in commands:
        _, name, *rest = shlex.split(command)
        cli.commands[name].make_context(name, [word.replace("/*", "") for word in rest])


def test_the_commands_name_the_variant_and_quote_what_is_foreign() -> None:
    run = replace(reference_run(), name="x; rm -rf ~", hyperparameters={"width": "$(reboot) 'x'"})
    commands = reproduction(row_of(run))
    assert all(" mechanism.py " in f"{line} " for line in commands[:2])
    assert shlex.split(commands[1])[-3] == "width=$(reboot) 'x'"
    strange = replace(run, train=replace(run.train, num_steps=17))
    assert reproduction(row_of(strange)) == []
    assert reproduction(row_of(replace(run, task="unknown-task"))) == []


def test_a_tuned_entry_is_found_again_by_its_search() -> None:
    train = get_variant("listops-mini", "smoke").recipe.train
    begun = content_hash([asdict(train), recipe_space("listops-mini", "smoke")])
    tuning = make_tuning("x")
    protocol = replace(tuning.protocol, recipe_hash=begun, num_trials=7, max_seconds=60.0)
    run = reference_run(setting="tuned", tuning=replace(tuning, protocol=protocol))
    commands = reproduction(row_of(replace(run, train=replace(train, learning_rate=0.5))))
    assert commands[1].startswith("lra-design tune mechanisms/linear.py --task listops-mini")
    assert commands[1].endswith("--trials 7 --seconds 60 --out runs/again")
    assert reproduction(row_of(replace(run, tuning=tuning))) == []


def test_a_run_without_a_test_score_has_no_place_in_a_figure() -> None:
    run = replace(make_run("a", 0, None), validation=make_score("listops-mini", "validation", 0.5))
    (view,) = views_of([run])
    assert front_views(view.rows) == []


@pytest.mark.parametrize("source", ["", "\ud800", "def f(:\n\tx", "x" * 300_000])
def test_any_source_can_be_highlighted(source: str) -> None:
    from html import unescape
    from re import sub

    from leaderboards.site.highlighting import highlighted
    from lra_design.visible import visible_text

    assert unescape(sub("<[^>]*>", "", highlighted(source))) == visible_text(source)
