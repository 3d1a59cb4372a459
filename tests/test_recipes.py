"""Recipes are the published ones, say where each number comes from, and hold on every track."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from pathlib import Path

import pytest

from agent_sandbox.isolation import Isolation
from lra_design.cli import run
from lra_design.cli.options import make_job
from lra_design.errors import CandidateRefused, RecordError, UsageError
from lra_design.records import HostConfig, TrainConfig, from_json, to_json
from mechanisms import reference_source
from tasks.registry import get_task, listed_tasks
from trainers import recipes
from trainers.job import Job, run_id, task_shape
from trainers.network_checks import parameter_cap, softmax_parameters
from trainers.recipes import (
    RECIPES,
    VARIANTS,
    Recipe,
    Variant,
    get_recipe,
    get_variant,
    recipe_space,
    variant_names,
)
from trainers.schedule import learning_rate
from trainers.training import train

EVERY = [(task, scale, v) for (task, scale), variants in VARIANTS.items() for v in variants]
IDS = [f"{task}-{scale}-{variant.name}" for task, scale, variant in EVERY]


def test_every_task_has_the_scales_it_should() -> None:
    scales = {task.id: {scale for id, scale in RECIPES if id == task.id} for task in listed_tasks()}
    for id, found in scales.items():
        if id.endswith(("-probe", "-mini")):
            assert found == {"smoke"}, id
        elif id.startswith("pathx"):
            assert found == {"full"}, id  # nobody published one of the small size
        elif id == "text-1k-v1":
            assert found == {"small"}  # S4 reads 4,096 characters
        else:
            assert found == {"small", "full"}, id


def test_the_small_ones_have_two_variants_and_the_first_is_the_default() -> None:
    assert {tuple(variant_names(*key)) for key in VARIANTS if key[1] == "small"} == {
        ("nystromformer", "skyformer")
    }
    assert get_recipe("text-v1", "small") == get_recipe("text-v1", "small", "nystromformer")
    assert get_recipe("text-v1", "small") != get_recipe("text-v1", "small", "skyformer")
    assert get_variant("text-v1", "small").name == "nystromformer"


PUBLISHED = [
    # mlpen/Nystromformer LRA/code/lra_config.py: num_train_steps, batch_size, learning_rate, warmup
    ("listops-v1", "small", "nystromformer", 5_000, 32, 1e-4, 1_000),
    ("text-v1", "small", "nystromformer", 20_000, 32, 1e-4, 8_000),
    ("retrieval-v1", "small", "nystromformer", 30_000, 32, 1e-4, 800),
    ("image-v1", "small", "nystromformer", 35_000, 256, 1e-4, 175),
    ("pathfinder32-v1", "small", "nystromformer", 62_400, 256, 1e-4, 312),
    # pkuzengqi/Skyformer src/config.py
    ("listops-v1", "small", "skyformer", 50_000, 32, 1e-4, 1_000),
    ("text-v1", "small", "skyformer", 50_000, 32, 1e-4, 80),
    ("retrieval-v1", "small", "skyformer", 50_000, 16, 2e-4, 800),
    ("image-v1", "small", "skyformer", 50_000, 256, 1e-4, 175),
    ("pathfinder32-v1", "small", "skyformer", 50_000, 128, 2e-4, 312),
    # state-spaces/s4 configs/experiment/lra/s4-*.yaml
    ("listops-v1", "full", "s4", 120_000, 32, 0.01, 12_000),
    ("text-v1", "full", "s4", 50_000, 16, 0.01, 5_000),
    ("retrieval-v1", "full", "s4", 50_000, 64, 0.01, 5_000),
    ("image-real-v1", "full", "s4", 180_000, 50, 0.01, 18_000),
    ("pathfinder32-v1", "full", "s4", 500_000, 64, 0.004, 50_000),
    ("pathx-v1", "full", "s4", 500_000, 16, 0.001, 50_000),
]


@pytest.mark.parametrize(("task", "scale", "name", "steps", "batch", "rate", "warmup"), PUBLISHED)
def test_the_numbers_are_the_published_ones(
    task: str, scale: str, name: str, steps: int, batch: int, rate: float, warmup: int
) -> None:
    _, config = get_recipe(task, scale, name)
    assert (config.num_steps, config.batch_size, config.learning_rate) == (steps, batch, rate)
    assert learning_rate(warmup - 1, config) == rate  # the last step of the rise
    assert learning_rate(warmup + 1, config) < rate
    assert config.schedule == ("cosine" if scale == "full" else "linear")


def test_the_networks_are_the_published_ones() -> None:
    for (_task, scale), variants in VARIANTS.items():
        for host, config in (variant.recipe for variant in variants):
            if scale == "small":
                assert (host.num_layers, host.d_model, host.num_heads) == (2, 64, 2)
                assert (host.d_mlp, host.dropout, config.weight_decay) == (128, 0.1, 0.0)
            if scale == "full":
                assert (host.num_layers, config.weight_decay) == (6, 0.05)
    width_and_dropout = {
        task: (recipe.host.d_model, recipe.host.dropout)
        for (task, scale), recipe in RECIPES.items()
        if scale == "full"
    }
    assert width_and_dropout.pop("image-v1") == width_and_dropout.pop("image-real-v1") == (512, 0.1)
    assert set(width_and_dropout.values()) == {(256, 0.0)}


def test_the_steps_are_those_of_the_published_epochs() -> None:
    """Epochs x examples / batch, where our training split has as many examples as theirs."""
    epochs = {"listops-v1": 40, "image-real-v1": 200, "pathfinder32-v1": 200, "pathx-v1": 50}
    for task, number in epochs.items():
        config = get_recipe(task, "full").train
        assert config.num_steps * config.batch_size == number * get_task(task).sizes["train"]
        assert config.num_steps // config.evaluate_every == number


def test_the_line_of_a_linear_schedule() -> None:
    config = TrainConfig(
        num_steps=110,
        batch_size=1,
        learning_rate=2.0,
        weight_decay=0.0,
        warmup_fraction=10 / 110,
        schedule="linear",
        evaluate_every=1,
    )
    assert [learning_rate(step, config) for step in (4, 9, 10, 60, 85)] == [1.0, 2.0, 2.0, 1.0, 0.5]
    assert 0.0 < learning_rate(109, config) == pytest.approx(0.02)


@pytest.mark.parametrize(("task", "scale", "variant"), EVERY, ids=IDS)
def test_every_number_has_a_source(task: str, scale: str, variant: Variant) -> None:
    table = recipes._DOCUMENT[variant.name]
    given = set(table["defaults"]).union(*table["tasks"]) - {"ids"}
    derived = {"num_warmup_steps": "warmup_fraction", "num_evaluations": "evaluate_every"}
    assert set(variant.sources) == {derived.get(name, name) for name in given}
    assert all(re.match("as |ours: ", source) for source in variant.sources.values())
    if scale != "smoke":
        assert re.search(r"\w+/\w+ .* commit [0-9a-f]{7}$", variant.source)


@pytest.mark.parametrize(("task", "scale", "variant"), EVERY, ids=IDS)
def test_a_recipe_is_sound(task: str, scale: str, variant: Variant) -> None:
    host, config = variant.recipe
    assert host.d_model % host.num_heads == 0
    assert config.num_steps >= config.evaluate_every > 0
    assert from_json(HostConfig, to_json(host)) == host
    assert from_json(TrainConfig, to_json(config)) == config
    space = recipe_space(task, scale)
    assert set(space) <= {field.name for field in dataclasses.fields(TrainConfig)}
    for name, entry in space.items():
        value = getattr(config, name)
        assert entry["low"] <= value <= entry["high"] or (name == "weight_decay" and value == 0.0)


def test_probes_and_windowed_twins_have_the_recipe_of_theirs() -> None:
    assert get_recipe("recall-probe-16", "smoke") == get_recipe("recall-probe", "smoke")
    assert get_recipe("listops-v1-window64", "full") == get_recipe("listops-v1", "full")
    assert recipe_space("listops-v1-window64", "full") == recipe_space("listops-v1", "full")


def test_a_space_belongs_to_its_caller() -> None:
    recipe_space("text-v1", "small")["learning_rate"]["low"] = 0.0
    assert recipe_space("text-v1", "small")["learning_rate"]["low"] > 0.0


def test_a_version_changes_with_every_number_and_a_runs_id_with_it() -> None:
    host, config = recipe = get_recipe("listops-mini", "smoke")
    others = [
        Recipe(dataclasses.replace(host, dropout=0.2), config),
        Recipe(host, dataclasses.replace(config, clip_norm=2.0)),
        Recipe(host, dataclasses.replace(config, schedule="linear")),
    ]
    assert len({other.version for other in (recipe, *others)}) == 4
    assert len({run_id(_job(other)) for other in (recipe, *others)}) == 4
    assert recipe.version == Recipe(*recipe).version


def _job(recipe: Recipe, source: str | None = None, **more: object) -> Job:
    values = {
        "name": "test",
        "origin": "candidate",
        "agent": None,
        "source": source or reference_source("softmax"),
        "task": "recall-probe",
        "scale": "smoke",
        "setting": "fixed",
        "host": recipe.host,
        "train": recipe.train,
        "hyperparameters": {},
        "seed": 0,
        **more,
    }
    return Job(**values)  # type: ignore[arg-type]


def test_a_name_that_is_no_field_is_refused() -> None:
    good = {"d_model": 4, "num_heads": 2, "num_layers": 1, "d_mlp": 4, "positions": "none"}
    good |= {"num_steps": 8, "num_warmup_steps": 2, "num_evaluations": 2, "batch_size": 3}
    good |= {"learning_rate": 0.1, "weight_decay": 0.0}
    host, config = recipes._recipe(good)
    assert (config.warmup_fraction, config.evaluate_every, host.d_model) == (0.25, 4, 4)
    with pytest.raises(RecordError, match="did you mean 'clip_norm'"):
        recipes._recipe(good | {"clipnorm": 1.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["text-v1", "full", "--variant", "mega"], "It has: s4"),
        (["text-v1", "smoke"], "It has: small, full"),
        (["text-v2", "small"], "Did you mean 'text-v1'"),
        (["text-v1", "large"], "'smoke', 'small', 'full'"),
        (["text-v1"], "{smoke|small|full}"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recipe", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_unknown_ones_are_a_usage_error() -> None:
    for ask in (get_recipe, get_variant, recipe_space, variant_names):
        with pytest.raises(UsageError, match="no recipe at scale 'small'"):
            ask("pathx-v1", "small")


def test_the_command_prints_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "listops-v1", "small"]) == 0
    printed = capsys.readouterr().out
    version = get_recipe("listops-v1", "small").version
    assert printed.startswith(f"listops-v1 · small · nystromformer, version {version}\n")
    lines = {line.split()[0]: line for line in printed.splitlines()}
    assert lines["num_steps"].split()[1:] == ["5000", "as", "num_train_steps"]
    assert "1.67 epochs" in lines["examples"]
    assert "--variant skyformer" in printed
    assert all(len(line) < 120 for line in printed.splitlines())


def test_the_json_holds_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "retrieval-v1", "small", "--variant", "skyformer", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    host, config = get_recipe("retrieval-v1", "small", "skyformer")
    assert from_json(HostConfig, json.dumps(shown["host"] | {"causal": True})) == host
    assert from_json(TrainConfig, json.dumps(shown["train"])) == config
    assert shown["space"] == recipe_space("retrieval-v1", "small")
    shape = task_shape(get_task("retrieval-v1"))
    assert shown["softmax_parameters"] == softmax_parameters(host, shape)
    assert shown["parameter_cap"] == parameter_cap(host, shape)
    assert shown["parameter_cap"] == int(1.1 * shown["softmax_parameters"])
    assert shown["epochs"] == pytest.approx(50_000 * 16 / 147_086)
    assert shown["max_tokens"] == 50_000 * 16 * 2 * 4_000


def test_the_page_shows_the_numbers_that_are_used() -> None:
    text = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
    rows = {tuple(row[:3]): row[3:] for row in re.findall(9 * r"\| `?([^|`]+?)`? " + r"\|\n", text)}
    for task, scale, variant in EVERY:
        if scale == "smoke" or "-release-" in task:
            continue
        host, config = variant.recipe
        assert rows.pop((task, scale, variant.name)) == (
            f"{host.num_layers} x {host.d_model}",
            f"{config.num_steps:,} x {config.batch_size}",
            f"{config.num_steps * config.batch_size / get_task(task).sizes['train']:.3g}",
            f"{config.learning_rate:g}",
            f"{round(config.warmup_fraction * config.num_steps):,}",
            f"{softmax_parameters(host, task_shape(get_task(task))):,}",
        )
    assert set(rows) <= {("task", "scale", "recipe"), ("---", "---", "---")}


def test_a_variant_is_trained_when_it_is_asked_for() -> None:
    file = Path(__file__).parent.parent / "mechanisms" / "mean.py"
    by_name = make_job(file, "text-v1", "small", "causal", 0, variant="skyformer")
    assert by_name.train == get_recipe("text-v1", "small", "skyformer").train
    assert make_job(file, "text-v1", "small", "causal", 0).train.num_steps == 20_000


WIDENS = textwrap.dedent("""
    from typing import Any, ClassVar
    import torch
    from torch import nn
    from lra_design import Mechanism

    class Widens(Mechanism):
        search_space: ClassVar[dict[str, dict[str, Any]]] = {
            "width": {"type": "int", "low": 1, "high": 4096, "log": True},
        }
        def __init__(self, config, width: int = 1):
            super().__init__(config)
            self.into = nn.Linear(config.d_model, width)
            self.out = nn.Linear(width, config.d_model)
        def forward(self, x, key_padding_mask=None):
            return self.out(self.into(x))
""")
TINY = Recipe(
    HostConfig(
        d_model=6,
        num_heads=2,
        num_layers=1,
        d_mlp=7,
        causal=True,
        positions="none",
        dropout=0.1,
    ),
    TrainConfig(
        num_steps=2,
        batch_size=5,
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule="linear",
        evaluate_every=2,
    ),
)
"""With dropout and a linear schedule, as the recipes of the small size: what is replayed must draw
the same masks."""


def _trial(width: int) -> Job:
    """What a study asks to be trained when it draws this width."""
    return _job(TINY, WIDENS, setting="tuned", hyperparameters={"width": width})


def test_the_cap_holds_for_every_trial_of_a_tuning(isolation: Isolation, tmp_path: Path) -> None:
    """A network that its own search space lets grow is counted as any other is."""
    D, shape = TINY.host.d_model, task_shape(get_task("recall-probe"))
    cap = parameter_cap(TINY.host, shape)
    without_mechanism = softmax_parameters(TINY.host, shape) - 4 * D * D
    widest = (cap - without_mechanism - D) // (2 * D + 1)
    with pytest.raises(CandidateRefused) as refused:
        train(_trial(widest + 1), isolation, tmp_path / "wider", lambda progress: None)
    (finding,) = refused.value.findings
    assert finding.check == "LRA501"
    assert f"at most {cap} parameters" in finding.expected
    assert not (tmp_path / "wider" / "run.json").exists()

    trained = train(_trial(widest), isolation, tmp_path / "widest", lambda progress: None)
    assert (trained.setting, trained.hyperparameters) == ("tuned", {"width": widest})
    assert trained.num_parameters == without_mechanism + D + widest * (2 * D + 1) <= cap
