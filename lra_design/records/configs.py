"""What a training is asked for: the host and the recipe."""

from __future__ import annotations

from typing import Literal

from lra_design.records.serialised import record


@record
class HostConfig:
    """The fixed network around the mechanism."""

    d_model: int
    num_heads: int
    num_layers: int
    d_mlp: int
    """F, width of the feed-forward layers and of the head's hidden layer."""
    causal: bool
    positions: Literal["none", "sinusoidal"]
    """What the host adds to the embedding; with `none` the mechanism alone can tell the order."""
    dropout: float = 0.0
    head: Literal["nli", "concat"] = "nli"
    """What the head gets of two documents: [a; b; a*b; a-b] or [a; b]."""


@record
class TrainConfig:
    """How one network is trained."""

    num_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float = 0.1
    """Share of the steps in which the learning rate rises linearly to its peak."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate then falls to 0: as half a cosine, or along a line."""
    clip_norm: float = 1.0
    evaluate_every: int
    """Steps between two evaluations on the validation split."""
    order: Literal["pools", "random"] = "pools"
    """`random`: each batch is one of a random permutation, as in the published recipes. `pools`: it
    holds examples of about one length, sorted within pools of such batches."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What forward and backward of a step are computed in. `bfloat16`: under autocast; weights,
    their moments and the loss stay in float32. Answers that are scored are always in float32."""
    ema_decay: float | None = None
    """Of an exponential moving average of the weights, which is then what is evaluated and kept; in
    (0, 1). None: the weights themselves are."""

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise ValueError(f"ema_decay must lie in (0, 1), found {self.ema_decay}")
