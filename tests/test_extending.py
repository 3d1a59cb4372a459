"""`docs/extending/`: each page is followed to the letter in a copy of the project.

A file is a block of code after a line that ends with its path in backticks and a colon, a change of
one is a `diff` there; a `console` block is what one types and what then appears: "..." stands for
lines, "…" for a part of one. By default the commands that take a second are run, all of them with
`-m slow`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = {path.stem: path.read_text("utf-8") for path in ROOT.glob("docs/extending/[a-z]*.md")}
PARTS = (
    *("lra_design", "tasks", "mechanisms", "agent_sandbox", "trainers", "leaderboards"),
    *("benchmarks", "docs", "examples", "tests", "README.md", "constraints.txt", "pyproject.toml"),
)
NAMED = r"`(?P<path>[\w/.]+)`:\n\n"
BLOCK = r"^(?P<fence>`{3,4})(?P<kind>\w+)\n(?P<body>.*?)^(?P=fence)$"
QUICK = re.compile(r"lra-design (data|mechanisms|explain|recipe) |python -c ")
ENTRY = "from lra_design.cli import main\nmain()\n"
SSH = """#!/bin/sh
# In place of OpenSSH: what is said after the options and the host is run here.
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"""


def blocks(page: str, *, named: bool) -> Iterator[re.Match[str]]:
    """The blocks of a page, in order; `named`: those after the path of a file."""
    yield from re.finditer((NAMED if named else "") + BLOCK, page, re.MULTILINE | re.DOTALL)


def follow(page: str, tree: Path) -> None:
    """Write the files of a page, and change those that it changes."""
    files = list(blocks(page, named=True))
    assert len(files) == sum(block["kind"] != "console" for block in blocks(page, named=False))
    for block in files:
        path, body = tree / block["path"], block["body"]
        if block["kind"] == "diff":
            path.write_text(changed(path.read_text("utf-8"), body), "utf-8")
        else:
            assert not path.exists(), path
            path.write_text(body, "utf-8")
        if path.suffix == ".py":
            compile(path.read_text("utf-8"), path, "exec")


def changed(text: str, diff: str) -> str:
    """The text after a diff, whose hunks begin with `@@` and are found by their old lines."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in kind) for kind in (" -", " +"))
        if lines:
            assert text.count(old) == 1, f"expected once, found {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
    return text


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Each command that a page shows, and the lines that appear."""
    shown: list[tuple[str, list[str]]] = []
    for block in blocks(page, named=False):
        for line in block["body"].splitlines() if block["kind"] == "console" else ():
            if line.startswith("$ "):
                shown.append((line[2:], []))
            elif line not in ("", "..."):
                shown[-1][1].append(line)
    return shown


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project with an interpreter that finds the copy, and no other of its files."""
    folder = tmp_path / "lra-design"
    ignored = shutil.ignore_patterns("__pycache__", "*.png")
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    _make_interpreter(folder)
    return folder


def _make_interpreter(folder: Path) -> None:
    """`.venv`, with all that is installed here; workers may read what its `lib64` leads to."""
    own = folder / ".venv"
    venv.create(own, symlinks=True)
    (packages,) = own.glob("lib/python*/site-packages")
    (packages / "tree.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    (own / "lib64").unlink(missing_ok=True)
    (own / "lib64").symlink_to(Path(sys.prefix, "lib"))
    _make_program(own / "bin" / "lra-design", f"#!{own}/bin/python\n{ENTRY}")
    _make_program(own / "bin" / "ssh", SSH)


def _make_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def output_of(command: str, tree: Path, *, code: int = 0) -> str:
    """What a command writes, run in the copy; it has to end with `code`."""
    environment = {
        **os.environ,
        "PATH": f"{tree}/.venv/bin:{os.environ['PATH']}",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, f"$ {command}\nexit code {done.returncode}\n{done.stdout}"
    return done.stdout


def missing(shown: list[str], found: str) -> str | None:
    """The first of the shown lines that does not appear after those before it."""
    lines = iter(found.splitlines())
    for line in shown:
        wanted = re.compile(".*".join(map(re.escape, line.rstrip().split("…"))))
        if not any(wanted.fullmatch(other.rstrip()) for other in lines):
            return line
    return None


def run_all(shown: list[tuple[str, list[str]]], tree: Path) -> None:
    for command, lines in shown:
        found = output_of(command, tree, code=2 if lines and lines[0][:6] == "error:" else 0)
        line = missing(lines, found)
        assert line is None, f"$ {command}\nexpected  {line}\nfound\n{found}"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_followed_and_its_quick_commands_give_what_they_show(
    name: str, tree: Path
) -> None:
    follow(PAGES[name], tree)
    shown = commands(PAGES[name])
    run_all([(command, lines) for command, lines in shown if QUICK.match(command)], tree)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_command_of_a_page_gives_what_it_shows(name: str, tree: Path) -> None:
    follow(PAGES[name], tree)
    run_all(commands(PAGES[name]), tree)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_the_pages_write_goes_together_and_passes_the_linters(tree: Path) -> None:
    for page in PAGES.values():
        follow(page, tree)
    written = [b["path"] for page in PAGES.values() for b in blocks(page, named=True)]
    files = sorted({path for path in written if path.endswith(".py")})
    packages = [path for path in files if not path.startswith("tests/")]
    for tool in ("ruff check", "ruff format --check", "mypy"):
        name, *arguments = tool.split()
        program = shutil.which(name, path=str(Path(sys.executable).parent))
        if program is None:
            pytest.skip(f"{name} is not installed: make lint")
        asked = [program, *arguments, *(packages if name == "mypy" else files)]
        done = subprocess.run(asked, cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_diff_is_applied_by_its_lines_and_refused_where_they_are_not() -> None:
    assert changed("a\nb\nc\n", "@@\n a\n+x\n@@\n-c\n+d\n") == "a\nx\nb\nd\n"
    with pytest.raises(AssertionError, match="found 2 times"):
        changed("a\na\n", "-a\n")


def test_lines_appear_in_their_order() -> None:
    found = "one\ntwo, at 3 s\nthree\n"
    assert missing(["one", "two, … s"], found) is None
    assert missing(["two, … s", "one"], found) == "one"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "extending" / "README.md").read_text("utf-8")
    assert set(re.findall(r"\((\w+)\.md\)", index)) == set(PAGES)
