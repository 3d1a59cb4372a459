"""docker/: what is known of images, compose file and scripts without an engine or a registry."""

from __future__ import annotations

import http.server
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from test_docs import check

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
IMAGES = ["cpu.Dockerfile", "cuda.Dockerfile"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text()
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def filled(text: str) -> str:
    """The text of a compose file with its variables at their defaults."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


COMPOSE = yaml.safe_load(filled(COMPOSE_TEXT))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instructions(name: str) -> list[tuple[str, str]]:
    """What a Dockerfile says, in its order, each as its word and the rest of its line."""
    lines = [line for line in (DOCKER / name).read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(word, re.sub(r"\s+", " ", rest)) for word, rest in pairs]


def of(name: str, wanted: str) -> list[str]:
    return [rest for word, rest in instructions(name) if word == wanted]


def stages(name: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions(name):
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


@pytest.mark.parametrize("name", IMAGES)
def test_every_base_is_an_exact_version(name: str) -> None:
    defaults = dict(rest.split("=", 1) for rest in of(name, "ARG") if "=" in rest)
    built: set[str] = set()
    for rest in of(name, "FROM"):
        base, _, stage = rest.partition(" AS ")
        base = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], base)
        assert base in built or re.fullmatch(r"docker\.io/[\w/]+:[\w.-]*\d{2}[\w.-]*(@.*)?", base)
        assert "@" not in base or re.fullmatch(r".*@sha256:[0-9a-f]{64}", base)
        built.add(stage)


def test_the_processor_image_and_postgres_are_pinned_by_digest() -> None:
    assert "@sha256:" in of("cpu.Dockerfile", "ARG")[0]
    assert "@sha256:" in SERVICES["postgres"]["image"]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_a_fixed_user_who_is_not_root(name: str) -> None:
    (user,) = of(name, "USER")
    (number,) = re.findall(r"^USER_ID=(\d+)$", (DOCKER / "install.sh").read_text(), re.MULTILINE)
    assert user == f"{number}:{number}"
    assert int(number) >= 10000
    assert [word for word, _ in stages(name)[-1]].index("USER") > 0


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is_and_can_be_asked(name: str) -> None:
    (health,) = of(name, "HEALTHCHECK")
    assert 'CMD ["python", "/usr/local/lib/lra-design/health.py"]' in health
    assert of(name, "ENTRYPOINT") == ['["tini", "--", "lra-design"]']
    (labels,) = of(name, "LABEL")
    names = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert names == {"title", "description", "licenses", "version", "revision"}
    assert f'licenses="{PROJECT["project"]["license"]}"' in labels
    assert "STOPSIGNAL SIGINT" in (DOCKER / name).read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_secret_and_nothing_of_the_network_is_built_in(name: str) -> None:
    for word, rest in instructions(name):
        assert word != "ADD"
        if word in ("ARG", "ENV"):
            assert not re.search(r"PASSW|TOKEN|SECRET|_KEY", rest)
        if word == "RUN":
            assert not re.search(
                r"\b(curl|wget|sudo|apt-get|pip)\b(?!\.conf)", without_mounts(rest)
            )


def without_mounts(line: str) -> str:
    return re.sub(r"--mount=\S+", "", line)


@pytest.mark.parametrize("name", IMAGES)
def test_a_change_of_sources_installs_no_dependency_again(name: str) -> None:
    """Until the venv is there, and the kernels, its stages have seen three files of ours."""
    seen: set[str] = set()
    for stage in stages(name):
        if stage[0][1].partition(" AS ")[2] in ("python", "dependencies", "kernels"):
            for word, rest in stage:
                seen |= set(rest.split()[:-1]) if word == "COPY" else set()
    assert seen == {"docker/install.sh", "constraints.txt", "pyproject.toml"}
    last = [rest for word, rest in stages(name)[-1] if word in ("COPY", "RUN")]
    venv = next(i for i, rest in enumerate(last) if rest.startswith("--from="))
    package = next(i for i, rest in enumerate(last) if "install.sh package" in rest)
    assert venv < package
    assert "type=bind" not in (DOCKER / name).read_text()  # Podman 4.3 caches past its content


@pytest.mark.parametrize("name", IMAGES)
def test_every_copied_file_exists_and_reaches_the_engine(name: str) -> None:
    for rest in of(name, "COPY"):
        *sources, _target = rest.split()
        if sources[0].startswith("--from="):
            assert sources[0] == f"--from={sources[0][7:]}"
            assert any(stage[0][1].endswith(f" AS {sources[0][7:]}") for stage in stages(name))
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source == "." or passes(source.rstrip("/")), source


def passes(path: str) -> bool:
    """Whether .dockerignore lets a path through: its last line that matches decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = [path, *map(str, Path(path).parents)]
        names = [Path(path).name] if line.startswith("**/") else parts
        if line and line[0] != "#" and any(fnmatch(part, pattern) for part in names):
            kept = line.startswith("!")
    return kept


def test_what_is_not_the_project_stays_at_home() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for path in [*packages, "pyproject.toml", "README.md", "LICENSE", "trainers/recipes.toml"]:
        assert passes(path), path
    for path in (".git", ".venv", "runs", "tests", ".env", "docker/compose.yaml", "pip.conf"):
        assert not passes(path), path
    assert not passes("tasks/__pycache__")


@pytest.mark.parametrize("name", IMAGES)
def test_the_steps_that_an_image_calls_exist(name: str) -> None:
    (cases,) = re.findall(
        r"^    (system:.*)\) \"\$step\"", (DOCKER / "install.sh").read_text(), re.M
    )
    calls = re.findall(r"install\.sh ([^&\n]*?)(?= &&|$)", "\n".join(of(name, "RUN")), re.M)
    assert {call.split()[0] for call in calls} >= {
        "system",
        "dependencies",
        "wheel",
        "package",
        "user",
    }
    for call in calls:
        step, *arguments = shlex.split(call)
        assert any(fnmatch(f"{step}:{len(arguments)}", one) for one in cases.split(" | ")), call
    (extras,) = (rest for rest in of(name, "ARG") if rest.startswith("EXTRAS="))
    chosen = extras.removeprefix("EXTRAS=").split(",")
    assert set(chosen) <= set(PROJECT["project"]["optional-dependencies"])


def test_both_images_end_alike() -> None:
    def end(name: str) -> list[tuple[str, str]]:
        last = stages(name)[-1]
        begin = next(i for i, (word, _) in enumerate(last) if word == "ENV")
        return [one for one in last[begin:] if one[0] != "LABEL"]

    assert end(IMAGES[0]) == end(IMAGES[1])


def test_kernels_are_built_where_cuda_can_compile_and_for_the_cuda_of_pytorch() -> None:
    devel, runtime = of("cuda.Dockerfile", "ARG")[:2]
    versions = {text.split(":")[1].split("-")[0] for text in (devel, runtime)}
    assert len(versions) == 1
    assert ("-devel-" in devel, "-devel-" in runtime) == (True, False)
    text = (DOCKER / "install.sh").read_text()
    assert "--no-build-isolation" in text.split("kernels() {")[1].split("\n}")[0]


# The compose file


def test_what_services_refer_to_exists() -> None:
    for name, service in SERVICES.items():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for mount in service.get("volumes", []):
            assert mount.split(":")[0] in COMPOSE["volumes"], mount
        for other, how in service.get("depends_on", {}).items():
            assert SERVICES[other]["profiles"] == service["profiles"], f"{name} without {other}"
            assert "healthcheck" in SERVICES[other]
            assert how == {"condition": "service_healthy"}
    used = {mount.split(":")[0] for s in SERVICES.values() for mount in s.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_profiles_add_to_a_board_and_a_worker() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert [name for name, one in profiles.items() if one is None] == ["board", "worker"]
    assert {name for name, one in profiles.items() if one == ["postgres"]} == {"tuner", "postgres"}
    assert {name for name, one in profiles.items() if one == ["ray"]} == {"ray-head", "ray-worker"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert {key: service[key] for key in HARDENED} == HARDENED
    assert service["mem_limit"]
    assert service["pids_limit"] >= 128  # the sandbox starts up to 64 processes for a candidate
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & set(service)


def test_the_board_is_published_to_this_machine_alone_and_only_reads() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["board"]
    assert SERVICES["board"]["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVICES["board"]["volumes"] == ["runs:/runs:ro"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_a_password_and_a_token_come_from_the_environment_and_have_no_default() -> None:
    for variable in ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"):
        values = re.findall(rf"^ *\w+: (.*\b{variable}\b.*)$", COMPOSE_TEXT, re.MULTILINE)
        assert set(values) == {f"${{{variable}-}}"}
    assert "@" not in SERVICES["tuner"]["command"][-4].partition("@")[0]
    assert ":" not in SERVICES["tuner"]["command"][5].partition("://")[2].partition("@")[0]


def test_every_image_that_is_built_has_its_dockerfile() -> None:
    build = SERVICES["worker"]["build"]
    assert (DOCKER / build["context"]).resolve() == ROOT
    for flavour in ("cpu", "cuda"):
        assert f"{flavour}.Dockerfile" in IMAGES
        assert (ROOT / build["dockerfile"].replace("cpu", flavour)).exists()


def test_cards_are_for_services_that_work() -> None:
    cards = yaml.safe_load((DOCKER / "compose.cuda.yaml").read_text())["services"]
    assert set(cards) == {name for name in SERVICES if name not in ("board", "postgres")}
    (device,) = cards["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


# Commands


def calls_of_lra_design() -> Iterator[list[str]]:
    """Every call of `lra-design` in docker/, as its arguments."""
    for service in SERVICES.values():
        if "entrypoint" not in service and service["image"].startswith("lra-design"):
            yield service["command"]
    comments = "\n".join(line.lstrip("# ") for line in COMPOSE_TEXT.splitlines())
    comments = comments.replace("\\\n", " ")
    for call in re.findall(r"(?:exec ray-head lra-design|run --rm worker) (\w.*)", comments):
        yield shlex.split(call)
    script = (DOCKER / "build.sh").read_text()
    for call in re.findall(r"^    inside -- ([^|\n]*)|\"\$tag\" (serve [^>\n]*)", script, re.M):
        yield shlex.split("".join(call))


def test_every_command_exists_with_its_options() -> None:
    calls = list(calls_of_lra_design())
    assert len(calls) >= 9
    for call in calls:
        check(list(call))


@pytest.mark.parametrize("script", ["install.sh", "build.sh"])
def test_a_script_parses_and_may_be_run(script: str) -> None:
    done = subprocess.run(["bash", "-n", DOCKER / script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert os.access(DOCKER / script, os.X_OK)


def test_ci_lints_scripts_and_dockerfiles() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "shellcheck docker/*.sh" in makefile
    assert "hadolint docker/*.Dockerfile" in makefile


# The steps


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        [str(word) for word in words],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected a step"),
        (("wheel", "."), "no step 'wheel' with 1 arguments"),
        (("rm", "-rf"), "no step 'rm'"),
    ],
)
def test_a_step_that_is_none_is_said_in_a_line(words: tuple[str, ...], said: str) -> None:
    done = run(DOCKER / "install.sh", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_extra_that_is_none_stops_before_anything_is_installed(tmp_path: Path) -> None:
    done = run(DOCKER / "install.sh", "dependencies", ROOT, tmp_path / "venv", "data,nonsense")
    assert done.returncode != 0
    assert "no extra 'nonsense'" in done.stderr
    assert "postgres" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap for an empty home")
def test_the_steps_make_a_venv_that_works_from_nothing(tmp_path: Path) -> None:
    """Everything read-only but one folder, an empty home, no cache; as the images do it."""
    words = ["bwrap", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    words += ["--tmpfs", "/tmp", "--bind", str(tmp_path), str(tmp_path)]
    words += ["--ro-bind", str(ROOT), str(ROOT), "--setenv", "HOME", str(tmp_path / "home")]
    words += ["--chdir", str(tmp_path)]
    (tmp_path / "home").mkdir()
    shutil.copytree(ROOT, tmp_path / "src", ignore=left_behind)
    step, venv, dist = tmp_path / "src/docker/install.sh", tmp_path / "venv", tmp_path / "dist"
    for call in (
        (step, "dependencies", tmp_path / "src", venv, "postgres"),
        (step, "wheel", tmp_path / "src", dist, venv),
        (step, "package", dist, venv),
        (venv / "bin/lra-design", "validate", ROOT / "mechanisms/linear.py"),
    ):
        subprocess.run([*words, *map(str, call)], check=True)


def left_behind(folder: str, names: list[str]) -> set[str]:
    """For copytree: what .dockerignore keeps from the engine."""
    inside = Path(folder).relative_to(ROOT)
    kept = {"docker"} if folder == str(ROOT) else set()
    return {name for name in names if name not in kept and not passes(str(inside / name))}


# The script that builds


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine that writes down what it is asked for, and fails at what `failing` names."""
    fake = tmp_path / "fake"
    fake.write_text(
        "#!/bin/bash\n"
        f'printf "%s " "$@" >>{tmp_path}/calls; echo >>{tmp_path}/calls\n'
        f'grep -q -e "$(cat {tmp_path}/failing 2>/dev/null || echo NOTHING)" <<<"$*" && exit 1\n'
        'case "$*" in *"--entrypoint id"*) echo uid=10001;; *Health*) echo healthy;;\n'
        "*selftest*) echo yes;; esac\n"
    )
    fake.chmod(0o755)
    return fake


def calls_of(engine: Path) -> list[str]:
    return (engine.parent / "calls").read_text().splitlines()


def test_it_builds_and_then_tries_what_it_built_with_few_rights(engine: Path) -> None:
    done = run(DOCKER / "build.sh", "--engine", engine, "--", "--network", "host")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "== lra-design:cpu does what it should"
    calls = calls_of(engine)
    (build,) = (call for call in calls if call.startswith("build "))
    assert "--file docker/cpu.Dockerfile --tag lra-design:cpu" in build
    assert build.endswith("--network host . ")
    runs = [call for call in calls if call.startswith("run ")]
    assert len(runs) == 6
    for call in runs:
        for flag in ("--read-only", "--cap-drop ALL", "no-new-privileges", "--network none"):
            assert flag in call
    assert calls[-1].startswith("rm --force lra-design-smoke-")


@pytest.mark.parametrize("failing", ["selftest", "mechanisms/linear.py", "serve"])
def test_an_image_that_does_not_do_what_it_should_is_said(engine: Path, failing: str) -> None:
    (engine.parent / "failing").write_text(failing)
    done = run(DOCKER / "build.sh", "--engine", engine, "--no-build", "--tag", "mine:1")
    assert done.returncode == 1
    assert "error: mine:1 does not do what it should" in done.stderr
    assert "does what it should" not in done.stdout


def test_no_engine_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "basename", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    done = run(DOCKER / "build.sh", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: no container engine: expected Podman, or Docker")
    assert done.stderr.count("\n") == 1


# The health check


@pytest.fixture(scope="module")
def health() -> ModuleType:
    spec = importlib.util.spec_from_file_location("health", DOCKER / "health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_board_is_known_by_its_command_line(health: ModuleType) -> None:
    begin = ["tini", "--", "lra-design"]
    assert health.served_port([*begin, "serve", "/runs"]) == 8000
    assert health.served_port([*begin, "serve", "--port", "81", "/runs"]) == 81
    assert health.served_port([*begin, "serve", "--port=82"]) == 82
    assert health.served_port([*begin, "train", "a.py"]) is None


def test_a_board_is_asked_and_has_to_answer(health: ModuleType) -> None:
    answers = itertools.cycle([(200, b'{"line": ""}'), (500, b"{}"), (200, b"not json")])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = next(answers)
            self.send_response(code if self.path == "/version.json" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        health.ask_board(server.server_port)
        for _ in range(2):
            with pytest.raises((OSError, ValueError)):
                health.ask_board(server.server_port)
        server.shutdown()
    with pytest.raises(OSError, match="refused"):
        health.ask_board(server.server_port)


@pytest.mark.parametrize("code", [0, 3])
def test_any_other_is_as_healthy_as_its_sandbox(tmp_path: Path, code: int) -> None:
    fake = tmp_path / "lra-design"
    fake.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexit {code}\n')
    fake.chmod(0o755)
    done = run(sys.executable, DOCKER / "health.py", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == (code != 0)
    check((tmp_path / "asked").read_text().split())
    assert ("error:" in done.stderr) == (code != 0)
