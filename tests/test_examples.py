"""The examples: what they show is what is there. CI runs the scripts (`.ci/run`)."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import test_docs
import yaml

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_bash_and_its_commands_exist(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = script.read_text().replace("\\\n", " ")
    calls = re.findall(r"^(?:\s*|if )lra-design (.*?)(?:; then)?$", text, flags=re.MULTILINE)
    assert calls
    for call in calls:
        test_docs.check(shlex.split(call))


def test_every_script_is_in_the_index() -> None:
    index = (EXAMPLES / "README.md").read_text()
    for script in SCRIPTS:
        assert f"bash examples/{script.name}" in index


def test_the_mechanism_that_the_docs_show_is_the_example() -> None:
    source = (EXAMPLES / "mechanisms" / "decaying_mean.py").read_text()
    assert f"```python\n{source}```" in (ROOT / "docs" / "mechanism.md").read_text()


def test_the_files_for_ci_name_what_the_project_offers() -> None:
    workflow = yaml.safe_load((EXAMPLES / "ci" / "workflow.yml").read_text())
    step = workflow["jobs"]["validate"]["steps"][-1]
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    assert set(step["with"]) <= set(inputs)
    config = yaml.safe_load((EXAMPLES / "ci" / "pre-commit-config.yaml").read_text())
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    wanted = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert wanted == {hook["id"] for hook in hooks}


@pytest.mark.skipif((ROOT / ".venv" / "bin" / "ray").exists(), reason="Ray is installed")
def test_ray_is_asked_for_where_it_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", EXAMPLES / "ray_cluster.sh", tmp_path],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "expected Ray, found none. Install it" in done.stderr
