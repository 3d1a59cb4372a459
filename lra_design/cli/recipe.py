"""`lra-design recipe`: how a task is trained at a scale, and where each number comes from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lra_design.cli.options import SCALES, json_option, variant_option

if TYPE_CHECKING:
    from tasks.task import Task
    from trainers.recipes import Variant


@click.command(short_help="How a task is trained at a scale, and the source of each number.")
@click.argument("task")
@click.argument("scale", type=click.Choice(SCALES))
@variant_option
@json_option
def recipe(task: str, scale: str, variant: str | None, as_json: bool) -> None:
    """Print the recipe that everybody gets for TASK at SCALE.

    It says what the host and the training are, what `tuned` searches of them, how many parameters
    a network may have, how long the training is, and of every number where it comes from.
    """
    from tasks.registry import get_task
    from trainers.recipes import get_variant

    shown = _shown(get_task(task), scale, get_variant(task, scale, variant))
    if as_json:
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
    else:
        click.echo("\n".join(_lines(shown)))


def _shown(task: Task, scale: str, variant: Variant) -> dict[str, Any]:
    """All there is to say, as it is printed with --json."""
    from trainers.job import task_shape
    from trainers.network_checks import parameter_cap, softmax_parameters
    from trainers.recipes import recipe_space, variant_names

    host, train = variant.recipe
    shape = task_shape(task)
    num_examples = train.num_steps * train.batch_size
    return {
        "task": task.id,
        "scale": scale,
        "name": variant.name,
        "variants": variant_names(task.id, scale),
        "version": variant.recipe.version,
        "source": variant.source,
        "host": {name: value for name, value in asdict(host).items() if name != "causal"},
        "train": asdict(train),
        "sources": variant.sources,
        "space": recipe_space(task.id, scale),
        "softmax_parameters": softmax_parameters(host, shape),
        "parameter_cap": parameter_cap(host, shape),
        "num_examples": num_examples,
        "epochs": num_examples / task.sizes["train"],
        "max_tokens": num_examples * task.documents * task.max_seq_len,
    }


def _lines(shown: dict[str, Any]) -> list[str]:
    sources = shown["sources"]
    others = [name for name in shown["variants"] if name != shown["name"]]
    return [
        f"{shown['task']} · {shown['scale']} · {shown['name']}, version {shown['version']}",
        shown["source"],
        *_table("host", shown["host"], sources),
        "  causal               by --mode",
        *_table("training", shown["train"], sources),
        "searched by `tuned`, with the mechanism's own search_space",
        *(f"  {name:<21}{_range(entry)}" for name, entry in shown["space"].items()),
        "what it comes to",
        f"  parameters           at most {shown['parameter_cap']:,} in the whole network, fixed "
        f"and tuned: 1.1 x the {shown['softmax_parameters']:,} with softmax",
        f"  examples             {shown['num_examples']:,}: {shown['epochs']:.3g} epochs",
        f"  tokens               at most {shown['max_tokens']:,}",
        *(f"another recipe of this scale: --variant {name}" for name in others),
    ]


def _table(title: str, values: dict[str, Any], sources: dict[str, str]) -> list[str]:
    """A line for each value. What a recipe does not give has the default of its record."""
    rows = (
        f"  {name:<21}{_value(value):<11} {sources.get(name, 'ours: as in every recipe')}"
        for name, value in values.items()
    )
    return [title, *rows]


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(entry: dict[str, Any]) -> str:
    """One entry of a search space, in words: `0.0003 to 0.01, by its logarithm`."""
    if entry["type"] == "categorical":
        return "one of " + ", ".join(map(str, entry["choices"]))
    end = ", by its logarithm" if entry.get("log") else ""
    return f"{_value(entry['low'])} to {_value(entry['high'])}{end}"
