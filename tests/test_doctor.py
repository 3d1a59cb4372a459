"""`lra-design doctor`: on a whole machine, on a broken one, and each look by itself."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from agent_sandbox.isolation.survey import Trial
from lra_design.cli import run
from lra_design.cli.health import examination
from lra_design.cli.health.examination import GROUPS, Group, engine_facts, folder_facts, within
from lra_design.cli.health.facts import Fact, State
from lra_design.cli.health.importing import Answer, Question, ask
from lra_design.cli.health.requirements import Package, _recorded, pip_install, requirements
from lra_design.home import HOME_VARIABLE
from lra_design.kernels import KERNELS

ROOT = Path(__file__).parent.parent
STUBS = (
    *("anthropic", "datasets", "einops", "httpx2", "jinja2", "matplotlib", "mcp", "numba"),
    *("numpy", "openai", "optuna", "pandas", "PIL", "playwright", "pyarrow", "pydantic"),
    *("pygments", "ray", "rich", "safetensors", "scipy", "submitit", "tensorboard"),
)
"""Modules that take long to import, and that no test here needs."""


def stub(folder: Path, **modules: str) -> Path:
    """A folder of modules: name and content."""
    for name, content in modules.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(content)
    return folder


# ---------------------------------------------------------------- imports by another interpreter


def test_what_an_import_does_to_its_interpreter_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(
        stub(
            tmp_path,
            loud='print("loud")',
            wrong='raise ImportError("libfoo.so.1: no such file\\nmore")',
            leaves='raise SystemExit("bye")',
            dies="import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        )
    )
    names = ["loud", "wrong", "dies", "leaves", "loud"]
    answers = [answer for _, answer in ask([Question("import", name) for name in names])]
    assert answers[0] == answers[4] == Answer(found="imported")
    assert answers[1].error == "ImportError: libfoo.so.1: no such file"
    assert answers[2].error.startswith("its interpreter ended")
    assert answers[3].error == "SystemExit: bye"


def test_an_import_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(stub(tmp_path, hangs="import time; time.sleep(99)"))
    started = time.monotonic()
    ((_, answer),) = ask([Question("import", "hangs")], seconds=0.5)
    assert answer.error == "its interpreter ended, or took over 0.5 s"
    assert time.monotonic() - started < 30


# ---------------------------------------------------------------- requirements


@pytest.mark.parametrize(
    ("version", "error", "state"),
    [
        ("2.1", "", "ok"),
        ("2.1+cpu", "", "ok"),
        ("3.0", "", "warning"),
        (None, "", "missing"),
        ("2.1", "ImportError: x", "broken"),
        ("3.0", "ImportError: x", "broken"),
    ],
)
def test_the_state_of_a_package(version: str | None, error: str, state: State) -> None:
    assert Package(Requirement("torch>=2,<3"), version, error).state == state


def test_the_remedy_names_packages_and_never_this_project() -> None:
    lacking = [Package(Requirement("pyarrow>=18"), None, "")]
    assert pip_install(lacking).endswith(" -m pip install 'pyarrow>=18'")
    assert "--no-build-isolation" in pip_install(lacking, against_torch=True)
    broken = [Package(Requirement("pyarrow>=18"), "19", "ImportError: x")]
    assert "--force-reinstall --no-deps" in pip_install(broken)
    required = requirements()
    assert {"torch", "click"} <= {wish.name for wish in required[""]}
    assert {"datasets", "mcp", "pytest", "ruff"} <= {wish.name for wish in required["dev"]}
    assert "lra-design" not in {wish.name for wishes in required.values() for wish in wishes}


def test_requirements_of_an_installed_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "lra_design-9.dist-info"
    info.mkdir()
    wishes = ("torch<3,>=2", "pillow>=10; extra == 'data'", "pillow>=10; extra == 'test'")
    lines = ["Metadata-Version: 2.4", "Name: lra-design", "Version: 9"]
    lines += ["Provides-Extra: data", "Provides-Extra: test"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {w}" for w in wishes)]))
    monkeypatch.syspath_prepend(tmp_path)
    found = {extra: list(map(str, wishes)) for extra, wishes in _recorded().items()}
    assert found == {"": ["torch<3,>=2"], "data": ["pillow>=10"], "test": ["pillow>=10"]}


# ---------------------------------------------------------------- looks


def fact(group: str = "g", name: str = "n", state: State = "ok", needed: bool = False) -> Fact:
    return Fact(group=group, name=name, state=state, found="as it is", needed=needed)


def test_a_look_that_fails_is_a_fact() -> None:
    def fails() -> Iterator[Fact]:
        yield fact(name="first")
        raise RuntimeError("so\x1bnot")

    first, last = Group("g", fails, needed=True).examine(torch_works=True)
    assert (first.name, first.prevents) == ("first", False)
    assert (last.name, last.state, last.prevents) == ("g", "broken", True)
    assert last.found == "RuntimeError: so\x1bnot"


def test_nothing_that_imports_torch_is_tried_where_that_fails() -> None:
    for group in GROUPS:
        if group.uses_torch:
            (found,) = group.examine(torch_works=False)
            assert (found.state, found.needed) == ("missing", group.needed)


def test_what_takes_too_long_is_left() -> None:
    def trials(seconds: float) -> Iterator[Trial]:
        yield Trial(kind="layer", name="one", seconds=0.0)
        time.sleep(seconds)
        raise OSError("two")

    slow = within(0.3, lambda: trials(60))
    assert next(slow).name == "one"
    with pytest.raises(TimeoutError, match=r"not through after 0\.3 s"):
        next(slow)
    with pytest.raises(OSError, match="two"):
        list(within(60, lambda: trials(0)))


def test_a_level_that_does_not_stand_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def survey(profiles: object) -> Iterator[Trial]:
        yield Trial(kind="layer", name="landlock", seconds=0.0)
        text = "isolation layer 'x' is not available: none. Get one."
        for level in ("standard", "strong"):
            yield Trial(
                kind="level", name=level, holds=False, found=text, remedy="Get one.", seconds=1.0
            )

    monkeypatch.setattr("agent_sandbox.isolation.survey.survey", survey)
    layer, standard, strong = examination.isolation_facts()
    assert layer.state == "ok"
    assert standard.prevents
    assert not strong.prevents
    assert standard.remedy == strong.remedy == "Get one."
    assert standard.found == "isolation layer 'x' is not available: none."


def test_levels_that_were_not_reached_count_only_when_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def survey(profiles: object) -> Iterator[Trial]:
        yield from trials
        time.sleep(60)

    monkeypatch.setattr(examination, "ISOLATION_SECONDS", 0.2)
    monkeypatch.setattr("agent_sandbox.isolation.survey.survey", survey)
    trials = [Trial(kind="level", name="standard", seconds=0.0)]
    assert not any(found.prevents for found in examination.isolation_facts())
    trials = []
    (found,) = examination.isolation_facts()
    assert (found.name, found.prevents) == ("level standard", True)


def test_folders_are_tried_by_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    facts = {found.name: found for found in folder_facts()}
    assert facts["data and secret"].state in ("ok", "warning")  # by the room that there is
    assert facts["secret"].found == "none yet: made on first use"
    assert list((tmp_path / "home").iterdir()) == []

    secret = tmp_path / "home" / "secret"
    secret.write_bytes(bytes(32))
    secret.chmod(0o644)
    assert {f.name: f.state for f in folder_facts()}["secret"] == "warning"
    secret.chmod(0o600)
    assert {f.name: f.state for f in folder_facts()}["secret"] == "ok"
    secret.write_bytes(b"short")
    assert {f.name: f.state for f in folder_facts()}["secret"] == "broken"


def test_a_home_that_cannot_be_prevents_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, "/proc/nowhere")
    facts = {found.name: found for found in folder_facts()}
    assert facts["data and secret"].prevents
    assert HOME_VARIABLE in facts["data and secret"].found


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "LEAST_GIGABYTES", 1e9)
    states = {found.name: found.state for found in folder_facts()}
    assert states["temporary files"] == "warning"


def test_cuda_is_looked_at_by_another_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written without a card: PyTorch is a stub that says what PyTorch says."""
    torch = """
from types import SimpleNamespace as _S
version = _S(cuda="12.8")
cuda = _S(is_available=lambda: {here}, device_count=lambda: 2)
"""
    questions = [Question("cuda"), Question("kernel", "flash-attn")]
    for here in (False, True):
        folder = stub(
            tmp_path / str(here),
            torch=torch.format(here=here),
            flash_attn="flash_attn_func = len",
        )
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            seen, kernel = (answer for _, answer in ask(questions))
        if here:
            assert seen.found == "PyTorch for CUDA 12.8 sees 2 card(s)"
            assert kernel.found == "loads"
        else:
            assert seen.error == "PyTorch for CUDA 12.8 sees no card"
            assert kernel.error.startswith("kernel 'flash-attn' needs CUDA")


def test_a_driver_and_no_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("torch.version.cuda", "12.8")
    answers = [Answer(found="PyTorch for CUDA 12.8 sees 1 card(s)")]
    answers += [Answer(error="kernel is not installed: pip install it")] * len(KERNELS)
    monkeypatch.setattr(
        "lra_design.cli.health.importing.ask", lambda asked: zip(asked, answers, strict=True)
    )
    driver, cuda, *kernels = examination.gpu_facts()
    assert (driver.state, driver.found) == ("ok", "NVIDIA H200, driver 570.1")
    assert cuda.state == "ok"
    assert {found.state for found in kernels} == {"missing"}
    assert [found.name for found in kernels] == list(KERNELS)
    assert not any(found.prevents for found in (driver, cuda, *kernels))


def test_container_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho cannot >&2\nexit 125\n")
    podman.chmod(podman.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {f.name: (f.state, f.found) for f in engine_facts()}
    assert found == {"podman": ("broken", "cannot"), "docker": ("missing", "not installed")}


# ---------------------------------------------------------------- the command


def examine_only(monkeypatch: pytest.MonkeyPatch, *facts: Fact, shared: bool = False) -> None:
    groups = (Group("things", lambda: iter(facts), shared=shared),)
    monkeypatch.setattr(examination, "GROUPS", groups)


def test_the_last_line_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examine_only(monkeypatch, fact(needed=True), fact(state="missing"))
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("ready: ")
    examine_only(monkeypatch, fact(name="the thing", state="broken", needed=True))
    assert run(["doctor"]) == 3
    assert capsys.readouterr().out.splitlines()[-1].endswith("without the thing")
    assert run(["doctor", "--json"]) == 3
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["ready"], told["prevented_by"]) == (False, ["the thing"])
    assert told["installation"]["version"]
    assert told["facts"][0]["state"] == "broken"
    assert printed.err == "things\n"


def test_the_table_fits_80_columns_and_shows_strange_text_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = "a word \x1b[31m and another " * 9
    facts = [
        Fact(group="g", name=f"name {i}", state="missing", found=words, remedy=words)
        for i in range(9)
    ]
    for shared in (False, True):
        examine_only(monkeypatch, *facts, shared=shared)
        assert run(["doctor"]) == 0
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 80
        assert "\x1b" not in printed
        assert printed.count("do: ") == (1 if shared else 9)


def doctor(cwd: Path, path: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command in a process of its own."""
    places = [str(place) for place in (path, ROOT) if place]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-m", "lra_design", "doctor", "--json"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_broken_installation_is_examined_to_the_end(tmp_path: Path) -> None:
    modules = dict.fromkeys(STUBS, "")
    modules |= {"torch": "raise ImportError('libcudart.so.12: cannot open')"}
    modules |= {"scipy": "import os; os.abort()", "mcp": "1/0"}
    code, out, err = doctor(tmp_path, stub(tmp_path / "stubs", **modules))
    assert code == 3, err
    assert "Traceback" not in err
    told = json.loads(out)
    facts = {(found["group"], found["name"]): found for found in told["facts"]}
    assert "libcudart.so.12" in facts["packages", "torch"]["found"]
    assert "its interpreter ended" in facts["packages", "scipy"]["found"]
    assert facts["packages", "numpy"]["state"] == "ok"
    assert told["prevented_by"] == ["torch", "scipy", "isolation", "data"]
    assert facts["extras", "mcp"]["state"] in ("broken", "missing")  # as it is installed or not
    assert [found["group"] for found in told["facts"]][-1] == "data"


@pytest.mark.slow
def test_this_machine(tmp_path: Path) -> None:
    """Where the tests run at all, mechanisms can be judged."""
    code, out, err = doctor(tmp_path)
    told = json.loads(out)
    assert (code, told["prevented_by"]) == (0, []), out
    assert err.split("\n")[0] == "machine"
    facts = {(found["group"], found["name"]): found for found in told["facts"]}
    assert facts["isolation", "level standard"]["state"] == "ok"
    assert facts["data", "listops-mini"]["state"] == "ok"
    assert {found["group"] for found in told["facts"]} >= {"machine", "extras", "GPU", "engines"}
