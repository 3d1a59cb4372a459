"""A change taken apart: into what can stand alone, and into nothing that cannot."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sandbox.agents.edits import put_in, split_change

ROOT = Path(__file__).parent.parent
PARENT = '''"""A mechanism."""

import torch
from torch import nn

WIDTH = 4


class Decay(Mechanism):
    search_space = {"rate": RATES}

    def __init__(self, config, rate=0.5):
        super().__init__(config)
        self.rate = rate
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        y = x * self.rate
        return self.out(y)

    def step(self, x, state):
        y = x * self.rate
        return self.out(y), state


EPSILON = 1e-5
'''


def changed(*pairs: tuple[str, str]) -> str:
    child = PARENT
    for old, new in pairs:
        assert old in child
        child = child.replace(old, new)
    return child


def parts(*pairs: tuple[str, str]) -> list[str]:
    """What each ingredient alone makes of the parent; together they make the child."""
    child = changed(*pairs)
    found = split_change(PARENT, child)
    assert put_in(PARENT, reversed(found)) == child
    return [put_in(PARENT, [one]) for one in found]


WIDER = ("WIDTH = 4", "WIDTH = 8")
CLOSER = ("EPSILON = 1e-5", "EPSILON = 1e-6")
FASTER = ("rate=0.5", "rate=0.9")


def test_changes_that_have_nothing_to_do_with_each_other_are_apart() -> None:
    assert parts(WIDER, FASTER) == [changed(WIDER), changed(FASTER)]


def test_the_same_change_in_two_places_is_one() -> None:
    twice = ("y = x * self.rate", "y = x / self.rate")
    assert parts(WIDER, twice) == [changed(WIDER), changed(twice)]


BELONGING = {
    "a member and where it is read": [
        ("self.rate = rate", "self.rate = rate\n        self.norm = nn.Tanh()"),
        ("self.out(y), state", "self.out(self.norm(y)), state"),
    ],
    "a class and what is made of it": [
        ("class Decay", "class Kind(nn.Tanh):\n    gain = 2\n\n\nclass Decay"),
        ("return self.out(y)\n", "return Kind()(y)\n"),
    ],
    "an import and its use": [
        ("import torch\n", "import torch\nimport math\n"),
        ("return self.out(y)\n", "return math.pi\n"),
    ],
    "a hyperparameter": [
        ('{"rate": RATES}', '{"rate": RATES, "gain": RATES}'),
        ("rate=0.5", "rate=0.5, gain=2.0"),
        ("self.rate = rate", "self.rate = rate * gain"),
    ],
    "a local name": [
        ("return self.out(y)\n", "return self.out(z)\n"),
        ("x):\n        y", "x):\n        z"),
    ],
    "a definition and its uses, taken away": [
        ("self.rate = rate\n        ", ""),
        (" * self.rate", ""),
        (", rate=0.5", ""),
        ('{"rate": RATES}', "{}"),
    ],
    "halves of a statement": [
        ("        y = x * self.rate\n        return self.out(y)\n", "        return self.out(\n"),
        (
            "    def step(self, x, state):",
            "            x\n        )\n\n    def step(self, x, state):",
        ),
    ],
    "a keyword and the parameter that takes it": [
        ("x, state):", "x, state, *, far=1):"),
        ("return self.out(y)\n", "return self.step(y, 0, far=2)\n"),
        ("(y), state", "(y), far"),
    ],
}


@pytest.mark.parametrize("what", BELONGING)
def test_what_cannot_do_without_each_other_is_one(what: str) -> None:
    pairs = BELONGING[what]
    assert set(parts(CLOSER, *pairs)) == {changed(CLOSER), changed(*pairs)}


def test_a_comment_goes_with_what_it_is_nearest_to() -> None:
    pairs = ("import torch\n", "import torch  # everything\n"), WIDER, FASTER
    assert parts(*pairs) == [changed(*pairs[:2]), changed(FASTER)]


def test_comments_alone_are_no_ingredient() -> None:
    assert split_change(PARENT, PARENT) == ()
    assert split_change(PARENT, changed(("import torch\n", "import torch  # all of it\n\n"))) == ()


def numbered(values: dict[str, int]) -> str:
    return "".join(f"{name} = {value}\nprint({name})\n" for name, value in values.items())


VALUES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2), min_size=1)


@given(VALUES, VALUES, st.data())
def test_together_they_are_the_child_and_any_of_them_parse(
    before: dict[str, int], after: dict[str, int], data: st.DataObject
) -> None:
    parent, child = numbered(before), numbered(after)
    found = split_change(parent, child)
    assert put_in(parent, found) == child or not found
    some = data.draw(st.lists(st.sampled_from(found), unique=True)) if found else []
    ast.parse(put_in(parent, some))
    for one in found:
        alone = put_in(parent, [one])
        assert undefined(alone) == set(), alone


def undefined(source: str) -> set[str]:
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return {name.id for name in names} - bound - {"print"}


LINES = st.lists(st.sampled_from(["a = 1", "b = (", ")", "", "    c", "if a:", "# d"]), max_size=9)


@given(LINES, LINES)
def test_anything_comes_back_whole(before: list[str], after: list[str]) -> None:
    """Of files that do not parse too, though nobody asks for them."""
    parent, child = "\n".join(before), "\n".join(after)
    found = split_change(parent, child)
    assert put_in(parent, found) == child or not found
    hunks = [hunk for one in found for hunk in one.hunks]
    assert len(set(hunks)) == len(hunks)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [("linear", "retnet"), ("s4d", "dss")])
def test_a_mechanism_that_was_rewritten(one: str, other: str) -> None:
    parent, child = ((ROOT / f"mechanisms/{name}.py").read_text() for name in (one, other))
    found = split_change(parent, child)
    assert put_in(parent, found) == child
    for ingredient in found:
        ast.parse(put_in(parent, [ingredient]))
        ast.parse(put_in(parent, [other for other in found if other != ingredient]))
