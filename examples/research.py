"""Four questions to a leaderboard, answered with its tables; docs/research.md explains them.

    python examples/research.py runs/demo leaderboards/reproduced

1. Which ingredients recur among the best candidates?
2. What distinguishes valid candidates from invalid ones?
3. How good is the proxy: does a good score in the search, or on validation, mean a good test score?
4. Who gains from tuning?
"""

from __future__ import annotations

import sys

import pandas as pd

import leaderboards
from leaderboards.rows import torch_names

FEWEST = 4
"""Rows below which an order says nothing."""


def ingredients(attempts: pd.DataFrame) -> pd.DataFrame:
    """What of torch the best quarter of the scored candidates uses, beside the others."""
    scored = attempts.dropna(subset="mean").drop_duplicates("code_hash")
    best = scored["mean"] >= scored["mean"].quantile(0.75)
    uses = scored.assign(best=best, name=scored["source"].map(torch_names)).explode("name")
    counts = uses.groupby(["name", "best"]).size().unstack(fill_value=0)
    shares = counts.reindex(columns=[True, False], fill_value=0)
    shares = shares / [max(1, best.sum()), max(1, (~best).sum())]
    shares.columns = ["best quarter", "others"]
    shares["difference"] = shares["best quarter"] - shares["others"]
    return shares.sort_values("difference", ascending=False)


def validity(attempts: pd.DataFrame) -> pd.DataFrame:
    """Valid and invalid attempts by what made them: how many, how long, how costly."""
    described = attempts.assign(lines=attempts["source"].str.count("\n"))
    return described.groupby(["operator", "valid"]).agg(
        attempts=("attempt", "size"), lines=("lines", "median"), tokens=("tokens", "median")
    )


def first_errors(attempts: pd.DataFrame) -> pd.Series:
    """How often each check was the first to find an error."""
    return attempts["first_error"].value_counts()


def search_proxy(attempts: pd.DataFrame, entries: pd.DataFrame) -> pd.DataFrame:
    """Each candidate that was trained on the task: its score in the search, and its test score."""
    searched = attempts.dropna(subset="mean").drop_duplicates("source_hash")
    tested = entries.dropna(subset="test")[["source_hash", "task", "name", "test"]]
    return searched[["source_hash", "mean"]].merge(tested, on="source_hash")


def validation_proxy(entries: pd.DataFrame) -> pd.Series:
    """Spearman's rank correlation of validation and test accuracy, board by board."""
    known = entries.dropna(subset=["validation", "test"])
    large = known.groupby("board").filter(lambda board: len(board) >= FEWEST)
    return pd.Series(
        {
            f"{task} ({board}), {len(rows)} entries": _spearman(rows["validation"], rows["test"])
            for (task, board), rows in large.groupby(["task", "board"])
        },
        dtype=float,
    )


def _spearman(one: pd.Series, other: pd.Series) -> float:
    return float(one.rank().corr(other.rank()))


def tuning(entries: pd.DataFrame) -> pd.DataFrame:
    """What tuning added, in percentage points of validation accuracy."""
    tuned = entries.dropna(subset="tuning_gain_points")
    columns = ["task", "name", "num_trials", "default_accuracy", "tuned_accuracy"]
    return tuned.sort_values("tuning_gain_points", ascending=False)[
        [*columns, "tuning_gain_points"]
    ]


def main(folders: list[str]) -> None:
    tables = leaderboards.load(*folders)
    attempts, entries = tables.attempts, tables.entries
    _show("1. Ingredients of the best candidates", ingredients(attempts).head(8))
    _show("2. Valid and invalid", validity(attempts))
    _show("   First errors", first_errors(attempts))
    found = search_proxy(attempts, entries)
    _show("3. Score in the search, and test accuracy", found.drop(columns="source_hash"))
    if len(found) >= FEWEST:
        print(f"   Spearman's correlation {_spearman(found['mean'], found['test']):+.2f}")
    _show("   Validation and test: Spearman's correlation", validation_proxy(entries))
    _show("4. Gains from tuning", tuning(entries))


def _show(title: str, table: pd.DataFrame | pd.Series) -> None:
    print(f"\n{title}\n{table.round(3).to_string() if len(table) else '   nothing here'}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["runs"])
