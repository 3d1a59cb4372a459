"""ORPO's loss against what can be worked out by hand, and a network that learns by it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_sandbox.agents.grammar import KERNELS, draw_genome
from agent_sandbox.agents.preferences.choices import SLOTS, Choices, write_genome
from agent_sandbox.agents.preferences.network import ChoiceNetwork, learn
from agent_sandbox.agents.preferences.orpo import log_odds, mean_log_probability, orpo_loss

COIN = {"first": {"heads": 0.5, "tails": 0.5}, "second": {"heads": 0.75, "tails": 0.25}}
log_probabilities = st.floats(math.log(0.001), math.log(0.999))


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def by_numpy(chosen: np.ndarray, rejected: np.ndarray, weight: float) -> float:
    """The loss as the paper writes it, in probabilities."""
    odds_chosen = np.exp(chosen) / (1 - np.exp(chosen))
    odds_rejected = np.exp(rejected) / (1 - np.exp(rejected))
    sigmoid = 1 / (1 + odds_rejected / odds_chosen)
    return float(np.mean(-chosen - weight * np.log(sigmoid)))


@pytest.mark.parametrize(("p", "odds"), [(0.5, 1.0), (0.8, 4.0), (0.2, 0.25), (0.75, 3.0)])
def test_odds_by_hand(p: float, odds: float) -> None:
    assert log_odds(logs(p)).exp().item() == pytest.approx(odds)


def test_odds_lose_nothing_near_zero_and_stay_finite_at_one() -> None:
    assert log_odds(torch.tensor(-700.0).double()).item() == pytest.approx(-700.0)
    assert log_odds(torch.tensor(-1e-5).double()).item() == pytest.approx(math.log(1e5), rel=1e-5)
    certain = torch.tensor([0.0], requires_grad=True)
    log_odds(certain).sum().backward()
    assert torch.isfinite(log_odds(certain)).all()
    assert torch.isfinite(certain.grad).all()


def test_a_pair_by_hand() -> None:
    # odds 4 and 1/4: their ratio is 16, and sigmoid(log 16) = 16 / 17
    found = orpo_loss(logs(0.8), logs(0.2), 0.1).item()
    assert found == pytest.approx(-math.log(0.8) - 0.1 * math.log(16 / 17))
    # alike: sigmoid(0) = 1/2
    assert orpo_loss(logs(0.3), logs(0.3), 1.0).item() == pytest.approx(
        -math.log(0.3) + math.log(2)
    )


@given(st.lists(st.tuples(log_probabilities, log_probabilities), min_size=1, max_size=7))
def test_as_the_paper_writes_it(pairs: list[tuple[float, float]]) -> None:
    chosen, rejected = (np.array(side) for side in zip(*pairs, strict=True))
    for weight in (0.0, 0.1, 2.0):
        found = orpo_loss(torch.from_numpy(chosen), torch.from_numpy(rejected), weight).item()
        assert found == pytest.approx(by_numpy(chosen, rejected, weight), rel=1e-8, abs=1e-10)


def test_without_the_odds_it_is_the_likelihood() -> None:
    assert orpo_loss(logs(0.3, 0.6), logs(0.9, 0.1), 0.0) == -logs(0.3, 0.6).mean()


@given(log_probabilities, log_probabilities, st.floats(0.01, 10))
def test_the_gradient_is_the_papers(better: float, worse: float, weight: float) -> None:
    """Up with what was chosen, down with the rest: d log odds / d log P = 1 / (1 - P)."""
    chosen = torch.tensor([better], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([worse], dtype=torch.float64, requires_grad=True)
    orpo_loss(chosen, rejected, weight).backward()
    p, q = math.exp(better), math.exp(worse)
    doubt = 1 / (1 + (p / (1 - p)) / (q / (1 - q)))
    assert chosen.grad.item() == pytest.approx(-1 - weight * doubt / (1 - p), rel=1e-6)
    assert rejected.grad.item() == pytest.approx(weight * doubt / (1 - q), rel=1e-6)


def test_limits() -> None:
    assert orpo_loss(logs(0.999999), logs(1e-9), 1.0).item() == pytest.approx(0.0, abs=1e-5)
    lost = [orpo_loss(logs(0.5), logs(p), 1.0).item() for p in (0.1, 0.5, 0.9, 0.999)]
    assert lost == sorted(lost)
    # far behind, the penalty grows as the difference of the log odds
    far = orpo_loss(logs(1e-9), logs(0.5), 1.0).item()
    assert far == pytest.approx(-2 * math.log(1e-9), rel=1e-6)


def test_length_does_not_count() -> None:
    log_p_PT = logs(0.5, 0.5, 0.9).repeat(2, 1)
    log_p_PT[0] = logs(0.5, 0.5, 0.5)
    taken_PT = torch.tensor([[True, True, True], [True, True, False]])
    assert mean_log_probability(log_p_PT, taken_PT).tolist() == pytest.approx([math.log(0.5)] * 2)


def test_what_stands_behind_the_end_has_no_gradient() -> None:
    log_p_PT = torch.tensor([[-1.0, -torch.inf]], requires_grad=True)
    mean_log_probability(log_p_PT, torch.tensor([[True, False]])).sum().backward()
    assert log_p_PT.grad.tolist() == [[1.0, 0.0]]


def likelihood(network: ChoiceNetwork, *programs: Choices) -> list[float]:
    """The probability of each program."""
    with torch.no_grad():
        means_P = network(*network.spelled(programs))
    return [math.exp(mean * len(p)) for mean, p in zip(means_P.tolist(), programs, strict=True)]


def tossed(*options: str) -> Choices:
    return tuple(zip(("first", "second"), options, strict=False))


EVERY = [tossed(a, b) for a in ("heads", "tails") for b in ("heads", "tails")]


def test_an_untrained_network_is_the_language() -> None:
    network = ChoiceNetwork(COIN)
    assert likelihood(network, *EVERY) == pytest.approx([0.375, 0.125, 0.375, 0.125])
    assert likelihood(network, tossed("heads"), EVERY[0]) == pytest.approx([0.5, 0.375])


def test_a_trained_network_is_a_distribution_that_depends_on_what_came_before() -> None:
    """What is preferred is that both are alike, which neither slot shows alone."""
    network = ChoiceNetwork(COIN)
    alike, unlike = (0, 3), (1, 2)
    pairs = [(a, b) for a in alike for b in unlike]
    learn(network, EVERY, pairs, odds_weight=1.0, penalty=0.001)
    found = likelihood(network, *EVERY)
    assert sum(found) == pytest.approx(1.0)
    assert found[0] + found[3] > 0.9
    assert min(found[0], found[3]) > 0.3


def test_the_penalty_pulls_back_to_the_language_and_no_pair_teaches_nothing() -> None:
    for pairs, penalty in (([(0, 1)], 1e6), ([], 0.0)):
        network = ChoiceNetwork(COIN)
        learn(network, EVERY, pairs, odds_weight=1.0, penalty=penalty)
        assert likelihood(network, *EVERY) == pytest.approx([0.375, 0.125, 0.375, 0.125], abs=1e-4)


def test_the_optimum_of_the_likelihood_is_known() -> None:
    """Without odds and nearly without penalty the network says how often each was chosen."""
    network = ChoiceNetwork({"only": {"a": 0.5, "b": 0.5}})
    programs = [(("only", "a"),), (("only", "b"),)]
    learn(network, programs, [(0, 1)] * 3 + [(1, 0)], odds_weight=0.0, penalty=1e-6)
    assert likelihood(network, *programs) == pytest.approx([0.75, 0.25], abs=1e-3)


def test_what_is_drawn_follows_what_is_said() -> None:
    network = ChoiceNetwork(COIN)
    learn(network, EVERY, [(0, 1), (0, 2)], odds_weight=1.0, penalty=0.1)
    rng, num_draws = random.Random(3), 2000
    counts = dict.fromkeys(EVERY, 0)
    for _ in range(num_draws):
        choose, chosen = network.chooser(rng)
        choose("first"), choose("second")
        counts[tuple(chosen)] += 1
    shares = [count / num_draws for count in counts.values()]
    assert shares == pytest.approx(likelihood(network, *EVERY), abs=0.04)


def test_an_untrained_writer_draws_as_the_grammar_does() -> None:
    """Shares of kernels, options and extras among 1500 genomes of either."""
    rng, network = random.Random(5), ChoiceNetwork(SLOTS)

    def shares(genomes: list) -> list[float]:
        branches = [branch for genome in genomes for branch in genome.branches]
        found = [sum(b.kernel.name == name for b in branches) / len(branches) for name in KERNELS]
        found += [sum(b.output_gate for b in branches) / len(branches)]
        convolutions = [b.kernel for b in branches if b.kernel.name == "long convolution"]
        found += [sum(k.choices == ("free",) for k in convolutions) / len(convolutions)]
        return [*found, len(branches) / len(genomes) / 3]

    written = [write_genome(network.chooser(rng)[0]) for _ in range(1500)]
    drawn = [draw_genome(rng, rng.randint(1, 3)) for _ in range(1500)]
    assert shares(written) == pytest.approx(shares(drawn), abs=0.06)
