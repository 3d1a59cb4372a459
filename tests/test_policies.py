"""The search policies: what they choose, on landscapes and scripts that cost nothing to train."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from landscape import (
    ScriptedOperators,
    ToyOperators,
    best,
    feedback_with,
    run,
    score_of,
    scripted,
    toy_evaluation,
)

from agent_sandbox.agents.operators.protocol import Action, action_of
from agent_sandbox.agents.policies import get_policy, policy_names
from agent_sandbox.agents.policies.behaviour import Cell, cell_of, reach_in_positions
from agent_sandbox.agents.policies.evolutionary import Evolutionary
from agent_sandbox.agents.policies.fixed_point import FixedPoint
from agent_sandbox.agents.policies.mcts import MonteCarloTreeSearch
from agent_sandbox.agents.policies.registry import POLICIES
from agent_sandbox.agents.policies.tree import Node, grow
from agent_sandbox.agents.policy_agent import PolicyAgent
from lra_design.errors import UsageError
from lra_design.records import Attempt, Feedback, from_json, to_json

TEXTS = (
    "one-shot",
    "best-of-n:num_drafts=11",
    "greedy:num_drafts=3",
    "greedy:debug_depth=1,debug_share=1",
    "beam:width=2,num_drafts=4",
    "beam:width=1,expansions=3,debug_depth=0",
    "mcts:num_children=2,num_drafts=2",
    "mcts:exploration=2,debug_depth=1",
    "evolutionary:num_drafts=3,num_islands=2,migrate_every=2",
    "evolutionary:num_islands=3,simplify_share=0.5,draft=reflect,improve=reflect",
)
few = hypothesis_settings(max_examples=12)
accuracies = st.lists(
    st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=23, max_size=23
)


def agent_of(text: str, seed: int = 0) -> PolicyAgent:
    return PolicyAgent(get_policy(text, seed), ScriptedOperators())


def searched(
    text: str, script: Sequence[float | None], *, seed: int = 0, batch_size: int = 1
) -> list[Attempt]:
    return run(agent_of(text, seed), scripted(script), len(script), batch_size)


def actions_of(history: Sequence[Attempt]) -> list[Action]:
    return [action_of(attempt.proposal, attempt.index) for attempt in history]


def failed(attempt: Attempt) -> bool:
    return attempt.feedback.mean_accuracy is None


SEARCHING = [name for name in policy_names() if name not in ("one-shot", "fixed-point")]


@pytest.mark.parametrize("text", [*SEARCHING, "fixed-point:num_drafts=5,rounds=30"])
def test_beats_the_floor_on_a_landscape(text: str) -> None:
    """40 evaluations, the same 12 landscapes. Over 40 landscapes with 60 evaluations: one-shot
    0.45, best-of-n 0.82, mcts 0.84, evolutionary 0.86, beam 0.86, greedy 0.91, each +-0.006."""
    floor = "one-shot" if text in ("best-of-n", "learned") else "best-of-n"  # no writer learns here
    means = {
        name: mean(
            best(run(PolicyAgent(get_policy(name, seed), ToyOperators(seed)), landscape, 40))
            for seed in range(12)
            if (landscape := toy_evaluation(seed))
        )
        for name in (floor, text)
    }
    assert means[text] > means[floor] + 0.01


@few
@given(st.sampled_from(TEXTS), accuracies, st.integers(1, 5), st.integers(0, 3))
def test_a_search_that_was_cut_goes_on_exactly(
    text: str, script: list[float | None], batch_size: int, seed: int
) -> None:
    whole = searched(text, script, seed=seed, batch_size=batch_size)
    journal = [from_json(Attempt, to_json(attempt)) for attempt in whole]
    for index in range(len(whole)):
        start = index - index % batch_size
        pending = [attempt.proposal for attempt in journal[start:index]]
        assert agent_of(text, seed).propose(journal[:start], pending) == whole[index].proposal


@few
@given(st.sampled_from(TEXTS), accuracies, st.integers(1, 5), st.integers(0, 3))
def test_parents_are_what_their_operator_needs(
    text: str, script: list[float | None], batch_size: int, seed: int
) -> None:
    history = searched(text, script, seed=seed, batch_size=batch_size)
    actions = actions_of(history)
    for attempt, action in zip(history, actions, strict=True):
        start = attempt.index - attempt.index % batch_size
        parents = [history[parent] for parent in action.parents]
        assert all(parent.index < start for parent in parents)
        assert attempt.proposal.operator == action.operator
        assert attempt.proposal.parents == tuple(parent.source_hash for parent in parents)
        if action.operator == "debug":
            assert [failed(parent) for parent in parents] == [True]
        else:
            assert not any(map(failed, parents))
        if action.operator == "crossover":
            assert len(set(action.parents)) == 2


@few
@given(st.sampled_from(TEXTS[2:]), accuracies, st.integers(1, 5))
def test_a_failure_is_debugged_so_deep_and_once_at_a_time(
    text: str, script: list[float | None], batch_size: int
) -> None:
    actions = actions_of(searched(text, script, batch_size=batch_size))
    debugged = [action.parents[0] for action in actions if action.operator == "debug"]
    assert len(set(debugged)) == len(debugged)
    depths: list[int] = []
    for action in actions:
        depths.append(1 + depths[action.parents[0]] if action.operator == "debug" else 0)
    assert max(depths) <= int(text.partition("debug_depth=")[2][:1] or 3)


def test_one_shot_and_best_of_n_end() -> None:
    script = [0.5] * 29
    assert [action.operator for action in actions_of(searched("one-shot", script))] == ["draft"]
    assert len(searched("best-of-n:num_drafts=7", script, batch_size=3)) == 7
    assert {a.operator for a in actions_of(searched("best-of-n", script))} == {"draft"}
    assert get_policy("best-of-n:num_drafts=2").choose([], [Action(operator="draft")] * 2) is None


def test_a_fixed_point_is_where_rounds_gain_nothing_beyond_the_noise() -> None:
    """With a deviation of 0.01 a gain counts above 0.0283; what failed is a round as well."""
    script = [0.3, 0.5, 0.51, None, 0.52, 0.9]
    text = "fixed-point:rounds=3,noise=0.01,debug_depth=0"
    history = searched(text, script)
    assert len(history) == 5
    policy = get_policy(text)
    assert isinstance(policy, FixedPoint)
    assert policy.ending(history) == (
        "a fixed point: 3 rounds after attempt 1 (50.0 %) gained no more than 2.8 points"
    )
    assert policy.ending(history[:4]) is None


def test_small_gains_add_up_to_one_that_counts() -> None:
    script = [0.3, 0.32, 0.34, 0.36, 0.38, 0.38, 0.38, 0.9]
    assert len(searched("fixed-point:rounds=3,noise=0.01,debug_depth=0", script)) == 8
    assert len(searched("fixed-point:rounds=2,debug_depth=0", script)) == 7


def test_greedy_drafts_then_improves_the_best() -> None:
    history = searched("greedy:num_drafts=3", [0.2, 0.5, 0.3, 0.4, 0.6, 0.6, 0.1])
    parents = [action.parents for action in actions_of(history)]
    assert parents == [(), (), (), (1,), (1,), (4,), (4,)]


def test_greedy_debugs_before_it_improves_and_drafts_when_all_is_lost() -> None:
    text = "greedy:num_drafts=2,debug_depth=2,debug_share=1"
    history = searched(text, [0.9, None, None, None, 0.1, 0.2])
    operators = [(action.operator, action.parents) for action in actions_of(history)]
    assert operators[2:] == [
        ("debug", (1,)),
        ("debug", (2,)),
        ("improve", (0,)),
        ("improve", (0,)),
    ]
    lost = actions_of(searched(text, [None] * 9))
    assert [action.operator for action in lost[6:]] == ["draft", "debug", "debug"]


def test_greedy_debugs_as_often_as_it_is_told() -> None:
    def operators(text: str) -> list[str]:
        script = [0.9, None, 0.1]
        texts = [(f"greedy:num_drafts=2,{text}", seed) for seed in range(20)]
        return [actions_of(searched(t, script, seed=seed))[2].operator for t, seed in texts]

    assert set(operators("debug_share=0")) == {"improve"}
    assert set(operators("debug_share=1")) == {"debug"}
    assert 5 <= operators("debug_share=0.5").count("debug") <= 15


def test_a_mended_attempt_takes_the_place_of_the_broken_one() -> None:
    history = searched("greedy:num_drafts=1,debug_share=1", [None, 0.4, 0.6, 0.5])
    nodes = grow(history, [])
    assert [node.attempts for node in nodes] == [(0, 1), (2,), (3,)]
    assert [node.parents for node in nodes] == [(), (0,), (1,)]
    assert nodes[0].fitness == 0.4


@few
@given(accuracies, st.sampled_from([(1, 3), (2, 2), (3, 1)]))
def test_beam_expands_the_best_so_often_each(
    script: list[float | None], shape: tuple[int, int]
) -> None:
    """The rounds again, naively: each member in turn, so often, then the best of all they know."""
    width, expansions = shape
    text = f"beam:width={width},expansions={expansions},num_drafts=4,debug_depth=0"
    expected: list[tuple[int, ...]] = [()] * 4
    beam: list[int] = []
    pool = list(range(4))
    while len(expected) < len(script):
        scored = [index for index in pool if script[index] is not None]
        beam = sorted(scored, key=lambda index: -(script[index] or 0))[:width]
        turn = [(member,) for member in beam for _ in range(expansions)] or [()]
        pool = [*beam, *range(len(expected), len(expected) + len(turn))]
        expected += turn
    actions = actions_of(searched(text, script))
    assert [action.parents for action in actions] == expected[: len(script)]


@few
@given(accuracies, st.integers(1, 5))
def test_beam_in_batches_keeps_its_width(script: list[float | None], batch_size: int) -> None:
    text = "beam:width=2,expansions=2,num_drafts=3"
    actions = actions_of(searched(text, script, batch_size=batch_size))
    for start in range(0, len(actions), batch_size):
        batch = actions[start : start + batch_size]
        assert len({a.parents for a in batch if a.operator == "improve"}) <= 2


def naive_uct(nodes: Sequence[Node], policy: MonteCarloTreeSearch) -> int | None:
    """The number of the node that gets the next child, from the definitions alone."""
    seen = [node.fitness for node in nodes if node.fitness is not None]

    def below(node: Node) -> list[Node]:
        return [node, *(d for c in children(node) for d in below(c))]

    def children(node: Node) -> list[Node]:
        return [child for child in nodes if child.parents == (node.number,)]

    def reward(node: Node) -> float:
        if node.fitness is None:
            return 0.0
        spread = max(seen) - min(seen)
        return (node.fitness - min(seen)) / spread if spread else 0.5

    def alive(node: Node) -> bool:
        full = len(children(node)) >= policy.num_children
        return node.fitness is not None and (not full or any(map(alive, children(node))))

    level, visits = [node for node in nodes if not node.parents], len(nodes)
    while any(map(alive, level)):
        node = max(
            filter(alive, level),
            key=lambda n: (
                mean(map(reward, below(n)))
                + policy.exploration * math.sqrt(math.log(visits) / len(below(n)))
            ),
        )
        if len(children(node)) < policy.num_children:
            return node.number
        level, visits = children(node), len(below(node))
    return None


@pytest.mark.parametrize("exploration", [0.0, 0.25, 0.5, 2.0])
@pytest.mark.parametrize(("num_children", "seed"), [(1, 0), (2, 1), (2, 2), (3, 3)])
def test_mcts_is_uct_and_keeps_its_width(exploration: float, num_children: int, seed: int) -> None:
    rng = random.Random(seed)
    script = [None if rng.random() < 0.2 else rng.random() for _ in range(31)]
    text = f"mcts:exploration={exploration},num_children={num_children},num_drafts=3"
    policy = MonteCarloTreeSearch(exploration=exploration, num_children=num_children, num_drafts=3)
    history = searched(f"{text},debug_depth=0", script)
    actions = actions_of(history)
    assert {len(action.parents) for action in actions} <= {0, 1}
    for index in range(3, len(history)):
        chosen = naive_uct(grow(history[:index], []), policy)
        expected = () if chosen is None else (chosen,)
        assert actions[index].parents == expected
    parents = [action.parents for action in actions if action.parents]
    assert all(parents.count(parent) <= num_children for parent in parents)


def test_mcts_spreads_a_batch() -> None:
    """A pending child counts as a visit without reward, so a next one goes elsewhere."""
    script = [0.9, 0.8, 0.7, *[0.5] * 6]
    together = actions_of(searched("mcts:num_drafts=3,exploration=1", script, batch_size=3))
    assert [action.parents for action in together[3:6]] == [(0,), (1,), (0,)]


def node_of(number: int, accuracy: float | None, exponent: float, reach: int = 0) -> Node:
    """A node whose reach is 11 positions or none."""
    scores = () if accuracy is None else (score_of("delay-probe", 0.9 if reach else 0.1),)
    if accuracy is not None:
        scores = (*scores, score_of("recall-probe", 2 * accuracy - scores[0].accuracy))
    feedback = feedback_with(f"{number}", scores, exponent)
    return Node(number=number, parents=(), attempts=(number,), feedback=feedback)


def test_an_archive_keeps_the_best_of_each_kind() -> None:
    nodes = [
        node_of(0, 0.5, 1.0),
        node_of(1, 0.6, 2.0),
        node_of(2, 0.4, 1.0),
        node_of(3, None, 1.5),
        node_of(4, 0.3, 1.0, reach=11),
        node_of(5, 0.6, 2.03),
        node_of(6, 0.7, 1.0),
    ]
    policy = Evolutionary(num_islands=1, migrate_every=1)
    (archive,) = policy.archives(nodes)
    assert {cell: node.number for cell, node in archive.items()} == {
        Cell(4, 0): 6,
        Cell(8, 0): 1,
        Cell(4, 4): 4,
    }


def test_the_best_of_each_island_comes_to_the_next() -> None:
    nodes = [node_of(number, 0.1 + 0.1 * number, 1 + number) for number in range(7)]
    policy = Evolutionary(num_islands=3, migrate_every=2)
    before = [{n.number for n in a.values()} for a in policy.archives(nodes[:5])]
    after = [{n.number for n in a.values()} for a in policy.archives(nodes)]
    assert before == [{0, 3}, {1, 4}, {2}]
    assert after == [{0, 3, 5, 6}, {1, 3, 4}, {2, 4, 5}]


def test_islands_share_nothing_between_migrations() -> None:
    text = "evolutionary:num_drafts=6,num_islands=3,migrate_every=99,debug_depth=0"
    history = searched(text, [0.1 * (index % 9) for index in range(29)])
    for index, action in enumerate(actions_of(history)):
        assert all(parent % 3 == index % 3 for parent in action.parents)


def test_the_fittest_of_all_elites_is_the_best() -> None:
    script = [7 * index % 23 / 23 for index in range(23)]
    shares = "crossover_share=0,simplify_share=0"
    elites = searched(f"evolutionary:num_drafts=3,num_islands=1,tournament=9,{shares}", script)
    greedily = searched("greedy:num_drafts=3", script)
    assert actions_of(elites) == actions_of(greedily)


def test_evolution_uses_all_its_operators() -> None:
    history = searched("evolutionary:num_drafts=4", [0.1 * (index % 9) for index in range(60)])
    assert {action.operator for action in actions_of(history)} == {
        "draft",
        "improve",
        "crossover",
        "simplify",
    }


@pytest.mark.parametrize(
    ("task", "accuracy", "groups", "expected"),
    [
        ("delay-probe", 0.54, (), 11),
        ("delay-probe", 0.53, (), 0),
        ("delay-probe-250", 1.0, (), 250),
        ("reach-probe", 0.5, ((1, 0.9), (2, 0.8), (4, 0.2), (8, 0.9)), 2),
        ("reach-probe-16", 0.5, ((1, 0.1),), 0),
        ("reach-probe", 0.5, (), None),
        ("recall-probe", 1.0, (), None),
        ("listops-mini", 1.0, (), None),
    ],
)
def test_reach_is_the_farthest_distance_that_a_probe_shows(
    task: str, accuracy: float, groups: tuple[tuple[int, float], ...], expected: int | None
) -> None:
    feedback = feedback_with("x", [score_of(task, accuracy, groups)])
    assert reach_in_positions(feedback) == expected


def test_what_was_not_measured_is_a_kind_of_its_own() -> None:
    nothing = feedback_with("x", [score_of("recall-probe", 0.5)])
    assert cell_of(nothing) == Cell(None, None)
    far = [score_of("delay-probe", 0.9), score_of("delay-probe-60", 0.9)]
    assert cell_of(feedback_with("x", far, 1.9)) == Cell(8, 6)
    assert cell_of(Feedback(report=nothing.report, scores=())) == Cell(None, None)


@pytest.mark.parametrize("text", [*TEXTS, *policy_names()])
def test_a_name_is_read_back(text: str) -> None:
    policy = get_policy(text, 5)
    assert get_policy(policy.name, 5) == policy
    assert policy.seed == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gredy", r"unknown policy 'gredy'. Did you mean 'greedy'\?"),
        ("greedy:num_draft=3", r"option of policy 'greedy' 'num_draft'. Did you mean 'num_drafts'"),
        ("greedy:num_drafts", r"option=value after 'greedy:', found 'num_drafts'. Options: debug_"),
        ("greedy:num_drafts=two", r"valid integer.* found 'two'"),
        ("greedy:num_drafts=0", r"num_drafts of at least 1, found 0"),
        ("greedy:seed=3", r"unknown option"),
        ("beam:width=1,width=2", r"'width' once, found it twice"),
        ("beam:draft=improve", r"'draft' or 'reflect', found 'improve'"),
        ("mcts:exploration=inf", r"finite, found inf"),
        ("evolutionary:crossover_share=nan", r"from 0 to 1, found nan"),
        ("evolutionary:crossover_share=1", r"at most 1 together, found 1.0 and 0.1"),
        ("one-shot:", r"option=value"),
    ],
)
def test_a_text_that_means_no_policy(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get_policy(text)


def test_what_an_operator_set_lacks() -> None:
    few_operators = frozenset({"draft", "improve"})
    fitted = get_policy("evolutionary").fitted_to(few_operators)
    assert fitted.name == "evolutionary:crossover_share=0.0,debug_depth=0,simplify_share=0.0"
    assert get_policy(fitted.name) == fitted
    with pytest.raises(UsageError, match=r"needs the operator reflect, which .* draft, improve\."):
        get_policy("greedy:improve=reflect").fitted_to(few_operators)
    with pytest.raises(UsageError, match=r"policy 'one-shot' needs the operator draft"):
        get_policy("one-shot").fitted_to(frozenset({"improve"}))


def test_the_page_names_every_policy_and_option() -> None:
    page = (Path(__file__).parent.parent / "docs" / "agents.md").read_text()
    for name, kind in POLICIES.items():
        assert f"`{name}`" in page
        for option in kind.options():
            default = f"{option.default:g}" if isinstance(option.default, float) else option.default
            assert f"`{option.name}" in page
            if option.name not in ("debug_share", "num_drafts", "draft", "improve"):
                assert f"`{option.name}={default}`" in page
