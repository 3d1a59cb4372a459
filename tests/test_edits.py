"""Edits: applied exactly where they say, or rejected with the reason."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sandbox.agents.edits import (
    Edit,
    EditRejected,
    apply_edits,
    changed_parts,
    read_edits,
    read_file,
)

PARENT = '''"""A mechanism."""

import torch


class Decay(Mechanism):
    search_space = {}

    def forward(self, x):
        y = x * 2
        return y

    def step(self, x):
        y = x * 2
        return y
'''


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"


def apply(reply: str) -> str:
    return apply_edits(PARENT, read_edits(reply))


def test_blocks_are_applied_and_the_rest_stays() -> None:
    reply = (
        "Two changes.\n"
        + block("import torch", "import math\nimport torch")
        + "and\n"
        + block("    search_space = {}", "    search_space = SPACE")
    )
    expected = PARENT.replace("import torch", "import math\nimport torch")
    assert apply(reply) == expected.replace("{}", "SPACE")


def test_a_block_may_delete() -> None:
    assert apply("<<<<<<< SEARCH\nimport torch\n\n=======\n>>>>>>> REPLACE") == PARENT.replace(
        "import torch\n\n", ""
    )


def test_windows_line_ends_in_a_reply_do_not_matter() -> None:
    reply = block("import torch", "import math").replace("\n", "\r\n")
    assert apply(reply) == PARENT.replace("import torch", "import math")


def test_a_diff_is_applied_whatever_its_numbers_say() -> None:
    reply = (
        "```diff\n--- a.py\n+++ b.py\n@@ -70,9 +70,9 @@ class Decay\n     search_space = {}\n \n"
        "     def forward(self, x):\n-        y = x * 2\n+        y = x * 3\n```\nThat is all.\n"
    )
    assert apply(reply) == PARENT.replace("x * 2", "x * 3", 1)


def test_the_numbers_of_a_diff_choose_between_equal_places() -> None:
    hunk = "@@ -14,2 +14,2 @@\n-        y = x * 2\n+        y = x * 3\n         return y\n"
    child = apply(f"```diff\n{hunk}```")
    assert child.index("x * 3") > child.index("x * 2")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I would change nothing.", "expected edits, found none"),
        (block("import numpy", "import math"), "line 3 differs"),
        (block("  import torch", "import math"), "only in its white space"),
        (block("        return y", "        return x"), "fits 2 places, at lines 11, 15"),
        (block("import torch", "import torch"), "change nothing"),
        (block("", "import math"), "quotes no line"),
        (block("import torch", "a") + block("\nimport torch", "b"), "overlap at line 3"),
        ("<<<<<<< SEARCH\nimport torch\n=======\nimport math\n", "not whole"),
        (
            "<<<<<<< SEARCH\nimport torch\n" + block("import torch", "import math"),
            "not whole",
        ),
        ("@@ -3 +3 @@\n-import torch\nimport math", r"begins with ' ', '-' or '\+'"),
    ],
)
def test_what_does_not_fit_is_rejected_with_the_reason(reply: str, reason: str) -> None:
    with pytest.raises(EditRejected, match=reason):
        apply(reply)


def test_one_bad_edit_rejects_all_of_them() -> None:
    good, bad = block("import torch", "import math"), block("nowhere", "x")
    with pytest.raises(EditRejected, match="edit 2"):
        apply(good + bad)


LINES = st.lists(st.sampled_from(["a = 1", "b = 2", "", "    c", "-- d", "++ e"]), max_size=12)


@given(LINES, LINES)
def test_any_file_becomes_any_other(parent: list[str], child: list[str]) -> None:
    before, after = ["first", *parent], ["last", *child]
    reply = block("\n".join(before), "\n".join(after))
    assert apply_edits("\n".join(before), read_edits(reply)) == "\n".join(after)


NUMBERS = st.lists(st.integers(0, 99), unique=True, max_size=15)


@given(NUMBERS, NUMBERS)
def test_a_diff_that_a_program_wrote_is_applied_exactly(one: list[int], two: list[int]) -> None:
    parent, child = (["top", *map(str, numbers), "end"] for numbers in (one, two))
    diff = list(difflib.unified_diff(parent, child, "a", "b", lineterm="", n=1))
    if diff:
        made = apply_edits("\n".join(parent), read_edits("\n".join(diff)))
        assert made == "\n".join(child)


def test_the_order_of_edits_does_not_matter() -> None:
    edits = [Edit(("import torch",), ("import math",)), Edit(("    search_space = {}",), ())]
    assert apply_edits(PARENT, edits) == apply_edits(PARENT, edits[::-1])


def test_a_file_is_the_longest_fence() -> None:
    reply = "Use:\n```python\nx = 1\n```\nNow all of it:\n```python\nx = 1\ny = 2\n```\n"
    assert read_file(reply) == "x = 1\ny = 2\n"
    with pytest.raises(EditRejected, match="whole file"):
        read_file("```diff\n-x\n```")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("x * 2", "x * 3", ("Decay.forward changed", "Decay.step changed")),
        ("import torch", "import math", ("import math added", "import torch removed")),
        ("{}", "{'a': 1}", ("Decay.search_space changed",)),
        ("(Mechanism)", "(Base)", ("Decay changed",)),
        ("        y = x * 2", "        y = x  *  2  # the same", ()),
        ("return y", "return return", ("the file changed",)),
    ],
)
def test_a_change_is_labelled_with_what_it_touches(
    old: str, new: str, parts: tuple[str, ...]
) -> None:
    assert changed_parts(PARENT, PARENT.replace(old, new)) == parts
