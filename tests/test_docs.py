"""The documentation: its commands exist, its links lead somewhere, CI runs what can be run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from lra_design.cli import cli

ROOT = Path(__file__).parent.parent
IGNORED = {".venv", "runs", ".git", ".hypothesis"}
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in IGNORED]
PAGES = sorted(
    page.relative_to(ROOT)
    for found in (ROOT.glob("*.md"), *(folder.rglob("*.md") for folder in FOLDERS))
    for page in found
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def shown_commands(text: str) -> list[str]:
    """Every line of a block that calls `lra-design`, from the call on, without its comment."""
    bodies = [body for _, body in FENCE.findall(text)]
    bodies += re.findall(r"^(?: {4}.*\n)+", text, flags=re.MULTILINE)
    bodies += [f"{code}\n" for code in re.findall(r"`(lra-design [^`]+)`", FENCE.sub("", text))]
    found = []
    for line in "".join(bodies).replace("\\\n", " ").splitlines():
        call = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?lra-design (.*)", line)
        if call and not re.match(r"\w+:", call[1]):
            found.append(re.split(r"\s{2,}[^\s-]| #", call[1])[0].strip())
    return found


def check(arguments: list[str]) -> None:
    """Raise click.UsageError unless commands, options and choices of this call exist."""
    group: click.Command = cli
    context = click.Context(group, info_name="lra-design")
    while isinstance(group, click.Group):
        if not arguments or arguments[0].startswith("-"):
            break
        name, command, arguments = group.resolve_command(context, arguments)
        assert command is not None
        context = click.Context(command, info_name=name, parent=context)
        group = command
    values, _, _ = group.make_parser(context).parse_args(args=list(arguments))
    for parameter in group.params:
        given = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and given is not None:
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, str):
                    parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    for command in shown_commands((ROOT / page).read_text()):
        arguments = [re.sub(r"^\[|\]$|\]\.\.\.$|\.\.\.$", "", word) for word in split(command)]
        try:
            check([word for word in arguments if word])
        except click.UsageError as error:
            pytest.fail(f"'lra-design {command}': {error.format_message()}")


def split(command: str) -> list[str]:
    """The words of the first command of a pipe or a redirection."""
    words = shlex.split(command)
    end = next(
        (i for i, word in enumerate(words) if word in {"|", ">", "&&", "&", ";"}), len(words)
    )
    return words[:end]


def test_a_misspelt_option_command_or_choice_would_be_found() -> None:
    for wrong in (
        "train a.py --tsk x",
        "trian a.py",
        "train a.py --mode casual",
        "data prepared x",
    ):
        with pytest.raises(click.UsageError):
            check(split(wrong))
    text = "```\nlra-design train a.py --task t   # a comment\n$ lra-design data list\n```\n"
    assert shown_commands(text) == ["train a.py --task t", "data list"]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = FENCE.sub("", page.read_text())
    plain = [re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = FENCE.sub("", (ROOT / page).read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page} links to {target}"


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name in {"README.md", "extending/README.md"} or f"]({name})" in index, name


def test_ci_runs_every_page() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md docs/*.md docs/extending/*.md" in script


def test_what_ci_runs_of_a_page_is_its_commands_and_its_python(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\necho one  # a comment\n# alone\necho \\\n  two\n```\n"
        "```\necho never\n```\n```python\nx = 3\n```\n\n```python\nprint(x)\n```\n"
    )
    failing = tmp_path / "failing.md"
    failing.write_text("```sh\nexit 7\necho never\n```\n")
    done = subprocess.run(
        ["python3", ".ci/pages.py", str(page), str(failing), str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout.count("\none\n") == done.stdout.count("\ntwo\n") == 1
    assert "\n3\n" in done.stdout
    assert "never" not in done.stdout
    assert "'exit 7'" in done.stderr
