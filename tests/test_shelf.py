"""The reference mechanisms as they are listed: papers, measures, published and own results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_records import make_run

from agent_sandbox.candidate import source_hash
from leaderboards import measured as measured_file
from leaderboards.measured import measured
from leaderboards.published import published_rows
from leaderboards.shelf import shelf
from leaderboards.store import Store
from lra_design.cli import run
from mechanisms import REFERENCES, SHELF, heading, reference_hash, reference_source


def test_every_published_row_of_a_reference_names_one_that_is_there() -> None:
    named = {row.mechanism for row in published_rows() if row.mechanism}
    assert named <= set(REFERENCES)
    lra_paper = [row for row in published_rows() if row.size == "lra"]
    assert len(lra_paper) == 11
    assert all(row.mechanism for row in lra_paper)


def test_a_heading_is_what_the_file_begins_with() -> None:
    found = heading("softmax")
    assert found.title.startswith("Softmax attention: ")
    assert (found.year, found.arxiv) == (2017, "1706.03762")
    assert all(2014 <= heading(name).year <= 2026 for name in REFERENCES)


def test_the_hash_is_the_one_of_reports() -> None:
    assert reference_hash("mean") == source_hash(reference_source("mean").encode())


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_is_measured_as_it_is_now(name: str) -> None:
    """Its certificate in every mode has no warning, and its FLOPs grow no faster than claimed."""
    found = measured().get(name)
    assert found is not None, "run benchmarks/shelf.py --missing"
    text = reference_source(name)
    modes = [
        m
        for m in ("causal", "bidirectional")
        if f"supports_{m}: ClassVar[bool] = False" not in text
    ]
    assert [certificate.mode for certificate in found.certificates] == modes
    claimed = float(text.partition("claimed_cost: ClassVar[float | None] = ")[2].split()[0])
    for certificate in found.certificates:
        assert certificate.warnings == ()
        exponents = {exponent.quantity: exponent for exponent in certificate.exponents}
        # A cost that does not grow, such as an inverse between landmarks, may hide what does.
        assert exponents["flops"].value < claimed + 0.35
    assert [timing.seq_len for timing in found.timings] == [256, 1024, 4096, 16384]


def test_what_was_measured_of_another_source_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = measured_file.PATH.read_text().splitlines()[0]
    stale = tmp_path / "measured.jsonl"
    stale.write_text(line.replace(json.loads(line)["source_hash"], "0" * 64) + "\n")
    monkeypatch.setattr(measured_file, "PATH", stale)
    assert measured() == {}
    assert run(["mechanisms", json.loads(line)["name"]]) == 0
    assert "not measured as it is now" in capsys.readouterr().out


def test_the_list_has_every_reference_under_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mechanisms"]) == 0
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[0] for line in lines if line.split()]
    assert [word for word in starts if word in REFERENCES] == list(REFERENCES)
    assert all(any(line.strip() == kind for line in lines) for kind in SHELF)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


def test_the_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mechanisms", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(entries) == list(REFERENCES)
    softmax = entries["softmax"]
    assert softmax["heading"]["year"] == 2017
    assert softmax["measured"]["num_parameters"] == 4 * 64**2
    assert {row["source"] for row in softmax["published"]} >= {
        "google-research/long-range-arena README"
    }
    assert softmax["best_published_mean"] == pytest.approx(58.77, abs=0.01)
    assert entries["mean"]["published"] == []
    assert entries["mean"]["best_published_mean"] is None


def test_our_own_scores_stand_beside_the_published_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    for seed, accuracy in enumerate((0.25, 0.75)):
        ours = {"source_hash": reference_hash("linear"), "origin": "candidate"}
        store.append(make_run("linear", seed, accuracy, **ours))
        store.append(make_run("linear", seed, 0.125, run_id=f"of another source {seed}"))
    assert run(["mechanisms", "linear", "--board", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "65.9" in shown
    assert "50.0 [" in shown.partition("our own scores")[2]
    assert "12.5" not in shown
    assert run(["mechanisms", "linear"]) == 0
    assert "our own" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mechanisms", "sofmax"], "Did you mean 'softmax'?"),
        (["mechanisms", "zzz"], "There are softmax, "),
        (["mechanisms", "--board", "no/such/folder"], "no leaderboard in no/such/folder"),
    ],
    ids=["near", "far", "board"],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_flagged_row_gives_no_best_mean() -> None:
    entries = {entry.name: entry for entry in shelf()}
    if "rotary_softmax" in entries:
        assert entries["rotary_softmax"].published
        assert entries["rotary_softmax"].best_published_mean is None
