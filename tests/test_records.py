"""The contract's values and the records: what they refuse, and that they survive JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lra_design
from lra_design.errors import RecordError, unknown_name
from lra_design.interface import Mechanism, MechanismConfig
from lra_design.records import Feedback, Score, TrainConfig, Usage, from_json, record, to_json

CONFIG = MechanismConfig(d_model=14, num_heads=7, max_seq_len=23, causal=True)


def score(accuracy: float = 0.5) -> Score:
    return Score(
        task="t", split="validation", split_hash="", accuracy=accuracy, num_examples=3, num_labels=5
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide d_model, found 3 and 14"),
        ({"d_model": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"layer_index": 1}, "layer_index must lie in"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **wrong)


def test_a_mechanism_needs_a_forward() -> None:
    class Shape(Mechanism):
        pass

    with pytest.raises(TypeError, match="forward"):
        Shape(CONFIG)


def test_without_decoding_step_says_so() -> None:
    class Same(Mechanism):
        def forward(
            self, x: torch.Tensor, key_padding_mask: torch.Tensor | None = None
        ) -> torch.Tensor:
            return x

    with pytest.raises(NotImplementedError, match="Same has no constant-memory decoding"):
        Same(CONFIG).step(torch.zeros(2, 14), None)


def test_the_public_names() -> None:
    assert lra_design.__all__ == ["Mechanism", "MechanismConfig", "__version__"]
    assert lra_design.Mechanism is Mechanism
    with pytest.raises(AttributeError, match="no attribute 'Mechanisms'"):
        lra_design.Mechanisms  # noqa: B018


@given(st.floats(0, 1), st.integers(0, 2**40), st.text())
def test_records_survive_json(accuracy: float, count: int, text: str) -> None:
    written = Score(
        task=text,
        split="test",
        split_hash=text,
        accuracy=accuracy,
        num_examples=count,
        num_labels=count,
    )
    assert from_json(Score, to_json(written)) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_example": 3}, "unknown key 'num_example', did you mean 'num_examples'"),
        ({"accuracy": None}, "accuracy"),
        ({"split": "train"}, "split"),
        ({"accuracy": float("nan")}, "accuracy"),
    ],
)
def test_a_record_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    values = {**json.loads(to_json(score())), **change}
    with pytest.raises(RecordError, match=message):
        from_json(Score, json.dumps(values))


def test_what_is_missing_is_missing_and_never_a_default() -> None:
    with pytest.raises(RecordError, match="cpu_seconds"):
        from_json(Usage, '{"seconds": 1.0, "peak_memory_bytes": 3}')
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(score(float("inf")))


def test_records_are_frozen() -> None:
    config = TrainConfig(
        num_steps=2, batch_size=3, learning_rate=0.1, weight_decay=0.0, evaluate_every=5
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_steps = 7  # type: ignore[misc]


def test_the_nested_records_refuse_unknown_keys_too() -> None:
    @record
    class Outer:
        score: Score

    text = json.dumps({"score": {**json.loads(to_json(score())), "extra": 1}})
    with pytest.raises(RecordError, match=r"score\.extra"):
        from_json(Outer, text)


def test_mean_accuracy_of_nothing_is_none() -> None:
    unscored = dataclasses.make_dataclass("Unscored", ["scores"])(scores=())
    assert Feedback.mean_accuracy.fget(unscored) is None  # type: ignore[attr-defined]
    scored = dataclasses.replace(unscored, scores=(score(0.25), score(0.75)))
    assert Feedback.mean_accuracy.fget(scored) == 0.5  # type: ignore[attr-defined]


def test_an_unknown_name_is_told_what_exists() -> None:
    message = str(unknown_name("task", "listop-v1", ["recall", "listops-v1"]))
    assert message == (
        "unknown task 'listop-v1'. Did you mean 'listops-v1'? Known: listops-v1, recall."
    )
