"""Copies are found by their text or their operations, rewritten mathematics by behaviour.

`tests/rewritten/NAME.py` computes what `mechanisms/NAME.py` computes in another way;
`tests/copies/linear_renamed.py` is `mechanisms/linear.py` under other names.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from supported import modes

from agent_sandbox.fingerprint import fingerprint, nearest
from agent_sandbox.fingerprint.features import FEATURES
from agent_sandbox.fingerprint.graph import MAX_OPERATIONS, graph_hash
from agent_sandbox.fingerprint.nearest import read_shelf
from agent_sandbox.fingerprint.records import Fingerprint, Known, Mode, Nearest, Shelf
from agent_sandbox.fingerprint.structure import structure
from agent_sandbox.fingerprint.yardstick import MOST_UNITS, Yardstick, centre
from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.validate import validate
from lra_design.cli import run
from lra_design.cli.nearest import report
from lra_design.errors import CandidateFault, CandidateRefused, RecordError
from lra_design.records import from_json, to_json
from mechanisms import REFERENCES, reference_hash, reference_source

HERE = Path(__file__).parent
REWRITTEN = sorted(HERE.glob("rewritten/*.py"))
RENAMED = HERE / "copies" / "linear_renamed.py"
QUICK = "linear"
"""The rewriting that is run by default."""
SHELF = read_shelf()
YARDSTICK = Yardstick(SHELF.entries)
every_rewriting = pytest.mark.parametrize("path", REWRITTEN, ids=lambda path: path.stem)


def known(name: str, mode: Mode) -> Known:
    return next(entry for entry in SHELF.entries if (entry.name, entry.mode) == (name, mode))


def copies(found: Nearest) -> dict[str, str]:
    return {n.name: n.copy for n in found.neighbours if n.copy is not None}


def rewritings() -> list[object]:
    return [
        pytest.param(
            path,
            mode,
            marks=[] if path.stem == QUICK and mode == "causal" else [pytest.mark.slow],
            id=f"{path.stem}-{mode}",
        )
        for path in REWRITTEN
        for mode in modes(path)
    ]


@pytest.mark.parametrize(("path", "mode"), rewritings())
def test_a_rewriting_is_nearest_to_its_original(
    path: Path, mode: Mode, isolation: Isolation
) -> None:
    found = nearest(fingerprint(path.read_bytes(), isolation, mode=mode, seed=101))
    first, second = found.neighbours[:2]
    assert first.name == path.stem
    assert first.distance < 1.5 * found.same_below
    assert first.distance < 0.75 * second.distance
    assert copies(found) == {}
    assert found.fingerprint.graph_hash not in (None, known(path.stem, mode).graph_hash)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "mode"), [(path, mode) for path in REWRITTEN for mode in modes(path)]
)
def test_a_rewriting_is_a_valid_candidate(path: Path, mode: Mode, isolation: Isolation) -> None:
    assert validate(path.read_bytes(), isolation, mode=mode, seed=7).certified


def test_at_least_five_references_are_rewritten() -> None:
    assert len(REWRITTEN) >= 5
    assert {path.stem for path in REWRITTEN} <= set(REFERENCES)


@every_rewriting
def test_the_text_of_a_rewriting_does_not_tell(path: Path) -> None:
    own, original = structure(path.read_text()), structure(reference_source(path.stem))
    assert own is not None
    assert original is not None
    assert own.form != original.form
    assert own.shared(original) < 0.5


def test_a_renamed_copy_is_found(isolation: Isolation) -> None:
    found = nearest(fingerprint(RENAMED.read_bytes(), isolation, seed=102))
    assert copies(found) == {"linear": "renamed"}
    assert found.neighbours[0].shared_structure == 1.0
    assert found.fingerprint.graph_hash == known("linear", "causal").graph_hash


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reformatted_copy_has_the_same_layout(name: str) -> None:
    source = reference_source(name)
    own = structure(source)
    assert own is not None
    assert structure(ast.unparse(ast.parse(source))) == own


def test_no_two_references_have_the_same_form() -> None:
    forms = {name: structure(reference_source(name)) for name in REFERENCES}
    assert None not in forms.values()
    assert len({form.form for form in forms.values() if form}) == len(REFERENCES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("EPSILON = 1e-6", "EPSILON = 1e-5"),
        ("(F.elu(qk_BLE) + 1.0)", "(F.relu(qk_BLE) + 1.0)"),
        ("q_BHLK @ (k_BHKL @ v_BHLK)", "k_BHKL @ (q_BHLK @ v_BHLK)"),
        ("return zeros_BHKV[..., :-1], zeros", "return zeros_BHKV[..., :-2], zeros"),
    ],
)
def test_a_changed_copy_has_another_form(old: str, new: str) -> None:
    source = reference_source("linear")
    assert old in source
    own, changed = structure(source), structure(source.replace(old, new))
    assert own is not None
    assert changed is not None
    assert changed.form != own.form
    assert changed.shared(own) > 0.8


def test_what_a_mechanism_claims_is_no_part_of_its_form() -> None:
    source = reference_source("linear")
    changed = structure(source.replace("claimed_cost: ClassVar[float | None] = 1.0\n", "pass\n"))
    own = structure(source)
    assert own is not None
    assert changed is not None
    assert changed.form == own.form
    assert changed.layout != own.layout


@pytest.mark.parametrize("source", ["def (", "x = " + "-" * 20_000 + "1", "x = 1" + " + 1" * 9000])
def test_a_text_that_cannot_be_compared_has_no_structure(source: str) -> None:
    assert structure(source) is None


def entries(mode: Mode) -> list[Known]:
    return [entry for entry in SHELF.entries if entry.mode == mode]


@pytest.mark.parametrize("mode", ["causal", "bidirectional"])
def test_every_reference_is_nearest_to_itself_under_another_seed(mode: Mode) -> None:
    centres = {entry.name: centre(entry.vectors) for entry in entries(mode)}
    for entry in entries(mode):
        for index, vector in enumerate(entry.vectors):
            others = entry.vectors[:index] + entry.vectors[index + 1 :]
            places = {**centres, entry.name: centre(others)}
            found = min(places, key=lambda name: YARDSTICK.distance(vector, places[name]))
            assert found == entry.name, f"seed {index} of {entry.name}"


def test_every_reference_has_a_fingerprint_of_its_present_source() -> None:
    wanted = {
        (name, mode, reference_hash(name))
        for name in REFERENCES
        for mode in modes(HERE.parent / "mechanisms" / f"{name}.py")
    }
    found = {(entry.name, entry.mode, entry.source_hash) for entry in SHELF.entries}
    assert found == wanted, "run `python benchmarks/fingerprints.py`"


@pytest.fixture(scope="module")
def mean(isolation: Isolation) -> Fingerprint:
    """A fingerprint of the quickest mechanism."""
    return fingerprint(reference_source("mean").encode(), isolation, seed=0)


def test_a_fingerprint_follows_from_its_seed(mean: Fingerprint) -> None:
    stored = dict(zip(FEATURES, known("mean", "causal").vectors[0], strict=True))
    assert mean.behaviour == pytest.approx(stored, rel=1e-3, abs=1e-3)
    assert mean.flops_exponent == pytest.approx(1.0, abs=0.05)


def test_the_records_survive_json(mean: Fingerprint) -> None:
    found = nearest(mean)
    assert from_json(Nearest, to_json(found)) == found
    assert copies(found) == {"mean": "same file"}
    assert [d.units for d in found.differences] == sorted(
        (d.units for d in found.differences), reverse=True
    )


def test_what_is_stale_missing_or_of_another_mode_is_said(mean: Fingerprint) -> None:
    causal, other = entries("causal"), entries("bidirectional")
    old = Known(**{**vars(causal[0]), "source_hash": "0" * 64})
    left = [e for e in causal[1:-1] if e.name != other[-1].name]
    shelf = Shelf(features=SHELF.features, entries=(old, *left, other[-1]))
    found = nearest(mean, shelf)
    assert found.stale == (old.name,)
    assert found.missing == tuple(
        name for name in REFERENCES if name not in {e.name for e in shelf.entries}
    )
    assert {n.name for n in found.neighbours if n.mode != "causal"} == {other[-1].name}


def test_a_feature_counts_for_so_much_and_no_more() -> None:
    origin = centre(SHELF.entries[0].vectors)
    near = [value + unit for value, unit in zip(origin, YARDSTICK.units, strict=True)]
    far = [1e6, *origin[1:]]
    assert YARDSTICK.distance(origin, origin) == 0.0
    assert YARDSTICK.distance(origin, near) == pytest.approx(1.0)
    assert YARDSTICK.distance(origin, far) == pytest.approx(MOST_UNITS / len(FEATURES) ** 0.5)


SUM = [["relu", [-1]], ["exp", [-1]], ["sub", [0, 1]]]


def test_the_order_of_independent_operations_does_not_count() -> None:
    assert graph_hash(SUM) == graph_hash([SUM[1], SUM[0], ["sub", [1, 0]]])
    assert graph_hash(SUM) != graph_hash([*SUM[:2], ["sub", [1, 0]]])
    assert graph_hash(SUM) != graph_hash([*SUM[:1], ["exp", [0]], SUM[2]])
    assert graph_hash([SUM[0]] * (MAX_OPERATIONS + 1)) is None


@pytest.mark.parametrize(
    "claim",
    [
        None,
        "relu",
        [["relu"]],
        [["relu", [0]]],
        [["relu", [-3]]],
        [["relu", [True]]],
        [["relu", "-1"]],
        [[1, [-1]]],
        [["r" * 3000, [-1]]],
    ],
)
def test_what_is_no_list_of_operations_is_a_fault_of_the_worker(claim: object) -> None:
    with pytest.raises(CandidateFault, match="protocol"):
        graph_hash(claim)


BAD = """
import torch
from lra_design import Mechanism

class Bad(Mechanism):
    supports_bidirectional = False

    def forward(self, x, key_padding_mask=None):
        {}
"""


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return x[:, :1]", "LRA201"),
        ("return x / 0", "LRA211"),
        ("return (x - x).sqrt() + x", "LRA211"),  # finite, with no finite gradient
        ("return 1e200 * x", "compare those up to"),  # finite, with no finite square
        ("raise KeyError('lost')", "lost"),
        ("return eval('x')", "LRA"),
    ],
)
def test_a_broken_candidate_is_at_fault(body: str, fault: str, isolation: Isolation) -> None:
    with pytest.raises((CandidateRefused, CandidateFault), match=fault):
        fingerprint(BAD.format(body).encode(), isolation, seed=1)


@pytest.mark.parametrize(
    ("source", "mode"),
    [
        (b"\xff", "causal"),
        (b"x = 1", "causal"),
        (BAD.format("return x").encode(), "bidirectional"),
    ],
)
def test_what_is_no_candidate_is_refused(source: bytes, mode: Mode, isolation: Isolation) -> None:
    with pytest.raises(CandidateRefused) as refused:
        fingerprint(source, isolation, mode=mode)
    assert len(refused.value.findings) == 1


@pytest.mark.slow
@pytest.mark.parametrize("body", ["return x[:, :1]", "import os; os._exit(0)"])
def test_the_command_shows_a_fault_as_a_finding(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "candidate.py"
    file.write_text(BAD.format(body))
    assert run(["nearest", str(file)]) == 1
    assert "ERROR LRA" in capsys.readouterr().err


def test_the_report_says_what_is_near_and_how_to_read_it(mean: Fingerprint) -> None:
    found = nearest(mean)
    text = "\n".join(report(found))
    assert text.index("COPY: the file is that of mean") < text.index(" mean\n")
    assert "in 95 of 100 cases, so it may be the same as mean." in text
    assert "Differs most from mean" in text
    far = Nearest(**{**vars(found), "same_below": 0.0, "stale": ("softmax",)})
    text = "\n".join(report(far))
    assert "so it is not mean as that stands" in text
    assert "softmax: has changed since its fingerprint was made" in text


@pytest.mark.slow
def test_the_command_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nearest", str(HERE.parent / "mechanisms" / "mean.py")]) == 0
    assert "COPY: the file is that of mean" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_hands_out_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nearest", str(RENAMED), "--json", "--mode", "bidirectional"]) == 0
    text = capsys.readouterr().out
    assert copies(from_json(Nearest, text)) == {"linear": "renamed"}
    with pytest.raises(RecordError):
        from_json(Nearest, json.dumps({**json.loads(text), "novel": True}))
