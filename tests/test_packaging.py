"""The release: a wheel that holds all it needs and nothing else, its version, its papers."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import lra_design
from lra_design.commit import commit_of
from lra_design.installation import contract_version, installation
from lra_design.interface import CONTRACT_VERSION

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


# ---------------------------------------------------------------- which code is it?


def test_the_commit_is_that_of_the_checkout_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    file = tmp_path / "file"
    file.write_text("one")
    assert commit_of(tmp_path) is None  # no commit yet
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    git(tmp_path, "tag", "v1")
    clean = commit_of(tmp_path)
    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean)
    file.write_text("two")
    assert commit_of(tmp_path) == clean + "+dirty"
    inside = tmp_path / "inside"
    inside.mkdir()
    assert commit_of(inside) is None  # somebody else's repository


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    assert commit_of(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(ROOT) is None


def test_the_facts_of_a_bug_report() -> None:
    found = installation()
    assert found.version == lra_design.__version__
    assert found.contract == contract_version() == CONTRACT_VERSION
    assert found.kind in ("editable", "wheel", "folder")
    assert found.torch
    assert found.platform.startswith("Linux-")


def test_the_version_is_told_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from lra_design.cli import run; code = run(['--version']);"
        "heavy = {'torch', 'numpy', 'rich', 'pydantic'}; assert not heavy & set(sys.modules);"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *facts = done.stdout.splitlines()
    assert first == f"lra-design {lra_design.__version__}"
    assert {"contract", "kind", "python", "torch", "platform"} <= {f.split()[0] for f in facts}
    assert all(len(line.split(maxsplit=1)) == 2 for line in facts)


# ---------------------------------------------------------------- papers


def test_the_citation_names_this_version_and_is_complete() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # all the format demands
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["title"] == PROJECT["project"]["name"]
    assert cited["version"] == lra_design.__version__
    assert cited["license"] == PROJECT["project"]["license"]
    assert cited["authors"] == [{"name": "lra-design contributors"}]
    for reference in cited["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", reference["url"])


def test_the_changelog_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert versions[1] == lra_design.__version__


def test_the_map_of_the_project_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = text.partition("## Where to change what")[2].splitlines()
    table = "\n".join(row for row in rows if row.startswith("|"))
    paths = re.findall(r"`([\w./]+\.(?:py|toml|tsv|md|yml|txt|jsonl|json)|[\w/]+/)`", table)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


def test_a_bug_report_is_asked_for_what_helps() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    assert {"name", "description", "body"} <= set(form)  # all that GitHub demands
    labels = [field["attributes"]["label"] for field in form["body"]]
    assert "lra-design --version" in labels
    assert "lra-design doctor --json" in labels
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)


def test_the_licence_is_the_one_that_is_named() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n" in text
    assert "Version 2.0, January 2004" in text


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""


# ---------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling, which the extra `test` brings")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.iterdir()
    return found


def tracked() -> set[str]:
    """The files of the six packages that git keeps."""
    command = ["git", "-C", ROOT, "ls-files", "-z", *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("this is no checkout")
    return set(done.stdout.split("\0")) - {""}


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"lra_design-{lra_design.__version__}.dist-info/"
        commit = archive.read(info + "extra_metadata/commit.txt").decode()
        metadata = archive.read(info + "METADATA").decode()
    assert {name for name in names if not name.startswith(info)} == tracked()
    assert info + "licenses/LICENSE" in names
    assert commit.strip() == commit_of(ROOT)
    assert "Classifier: Private :: Do Not Upload" in metadata
    assert "License-Expression: Apache-2.0" in metadata


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--quiet", "--target", folder]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True)
    return folder


def ask(installed: Path, cwd: Path, *arguments: str) -> str:
    """What the installed command says, in a folder that has nothing to do with a checkout."""
    command = [sys.executable, "-P", "-m", "lra_design", *arguments]
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_wheel_knows_where_it_is_from(installed: Path, tmp_path: Path) -> None:
    said = ask(installed, tmp_path, "--version")
    assert re.search(r"^kind +wheel$", said, flags=re.MULTILINE)
    assert re.search(rf"^commit +{re.escape(str(commit_of(ROOT)))}$", said, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("mechanisms softmax", "mechanisms/softmax.py"),
        ("recipe listops-mini smoke", "listops-mini · smoke"),
        ("explain LRA202", "LRA202"),
        ("new mine", "mine.py"),
        ("data list", "listops-mini"),
        ("noise mqar-probe smoke", "mqar-probe"),
        ("reproduce --scale smoke --list", "listops-mini"),
    ],
    ids=lambda text: text.split()[0],
)
def test_the_installed_wheel_works_away_from_the_checkout(
    installed: Path, tmp_path: Path, command: str, shown: str
) -> None:
    assert shown in ask(installed, tmp_path, *command.split())


@pytest.mark.slow
def test_the_installed_wheel_judges(installed: Path, tmp_path: Path) -> None:
    ask(installed, tmp_path, "new", "mine")
    (mine,) = tmp_path.rglob("mine.py")
    assert ask(installed, tmp_path, "validate", str(mine), "--fast").startswith("VALID")


@pytest.mark.slow
def test_the_installed_wheel_is_examined_by_its_own_metadata(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from lra_design.cli.health.requirements import requirements, _recorded\n"
    code += "found = requirements(); assert found == _recorded(), found\n"
    code += "print(*sorted(found), len(found['']))"
    monkeypatch.setenv("PYTHONPATH", str(installed))
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    extras = PROJECT["project"]["optional-dependencies"]
    dependencies = PROJECT["project"]["dependencies"]
    assert done.stdout.split() == [*sorted(extras), str(len(dependencies))], done.stderr
