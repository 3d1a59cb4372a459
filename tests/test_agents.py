"""What the command line puts together for an agent."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from agent_sandbox.agents.policies.fixed_point import FixedPoint
from leaderboards import noise
from leaderboards.repeats import Conditions
from lra_design.cli.agents import _briefing, _policy
from lra_design.cli.run_folder import DesignSettings
from lra_design.records import Budget


@pytest.mark.parametrize(
    ("measured", "told"),
    [({"recall-probe": 0.03, "delay-probe": 0.04}, 0.025), ({"recall-probe": 0.03}, None)],
)
def test_agents_are_told_the_noise_where_every_probe_has_one(
    measured: dict[str, float], told: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the mean over two probes: half the root of the sum of squares."""

    def floor(conditions: Conditions) -> SimpleNamespace | None:
        sd = measured.get(conditions.task)
        return None if sd is None else SimpleNamespace(sd=sd)

    monkeypatch.setattr(noise, "noise_floor", floor)
    settings = DesignSettings(
        task="listops-mini",
        probes=("recall-probe", "delay-probe"),
        scale="smoke",
        mode="causal",
        agent_seed=0,
        budget=Budget(attempts=1),
        num_seeds=1,
        isolation="standard",
        policy="fixed-point",
    )
    briefing = _briefing(settings, shelf="")
    assert briefing.noise == (None if told is None else pytest.approx(told))
    assert ("is noise" in briefing.system) == (told is not None)
    policy = _policy(settings)
    assert isinstance(policy, FixedPoint)
    assert policy.noise == briefing.noise
    assert _policy(dataclasses.replace(settings, policy="fixed-point:noise=0.5")) == FixedPoint(
        noise=0.5
    )
