"""`lra-design serve`: what it answers, whom, and what it makes of files that are being written."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
import torch
from landscape import feedback_with, score_of
from run_records import make_run

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.search import hash_source
from leaderboards.contents import Contents
from leaderboards.site import Site, make_site
from leaderboards.site import server as serving
from leaderboards.site.progress import study_views, training_view
from leaderboards.site.server import SiteServer
from leaderboards.site.watch import Watch
from leaderboards.store import Store
from lra_design.cli import run
from lra_design.errors import RecordError
from lra_design.files import write_atomically
from lra_design.records import Attempt, Point, Proposal, Spending, Usage, to_json
from trainers.checkpoint import NAME, Standing, read_standing, write_checkpoint
from trainers.curve import Curve
from trainers.training import Progress
from trainers.tuning.storage import open_storage


@dataclass
class Served:
    """A server that runs, and what it was told of faults."""

    server: SiteServer
    faults: list[str]

    def ask(
        self, path: str, *, method: str = "GET", host: str | None = "localhost"
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True)
            if host is not None:
                connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    def versions(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.ask("/version.json")[2])
        return found

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


def site_of(contents: Contents) -> Site:
    return make_site(contents, {}, title="Watched")


@contextlib.contextmanager
def serving_of(folder: Path) -> Iterator[Served]:
    faults: list[str] = []
    watch = Watch([folder], site_of, look_seconds=0.0)
    with SiteServer("127.0.0.1", 0, watch, on_fault=faults.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Served(server, faults)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving_of(tmp_path) as found:
        yield found


def attempt(index: int, accuracy: float) -> Attempt:
    source = f"{index}\n"
    return Attempt(
        index=index,
        source_hash=hash_source(source),
        code_hash=hash_source(source),
        proposal=Proposal(source=source, change="", operator="draft"),
        feedback=feedback_with(source, [score_of("recall-probe", accuracy)]),
        created_at="",
        spent=Spending(),
    )


def training(folder: Path, steps: int) -> None:
    """What a training leaves after so many steps, with an evaluation every three."""
    point = Point(
        step=3, loss=1.0, gradient_norm=1.0, learning_rate=0.1, accuracy=0.375, seconds=2.0
    )
    standing = Standing(
        curve=Curve(points=(point,)),
        log=((1.0, 1.0),) * (steps - 3),
        usage=Usage(seconds=5.0, cpu_seconds=1.0, peak_memory_bytes=0),
        title="Mixer <b> on recall-probe, seed 0",
        num_steps=11,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, {"step": torch.tensor(steps)}, standing)


def test_it_reads_and_nothing_else(served: Served) -> None:
    status, headers, text = served.ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1><bdi>Watched</bdi></h1>" in text
    assert served.ask("/index.html?x=1#y")[2] == text
    assert "lra-design" in headers["Server"]
    assert "Python" not in headers["Server"]
    assert served.ask("/", method="HEAD")[2] == ""
    assert served.ask("/", method="HEAD")[1]["Content-Length"] == headers["Content-Length"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        status, headers, text = served.ask("/", method=method)
        assert (status, headers["Allow"], text) == (405, "GET, HEAD", "this site is only read\n")
    assert served.ask("/", method="BREW")[0] == 501
    for _, headers, _ in (served.ask("/"), served.ask("/none"), served.ask("/", method="BREW")):
        assert serving.HEADERS.items() <= headers.items()


def test_paths_are_pages_or_not_found(served: Served, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("secret")
    for path in (
        "/secret.html",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/entries/../index.html",
        "/entries/",
        "/entries",
        "/..",
        "/index.html%00",
        "/etc/passwd",
        "http://localhost/index.html",
    ):
        assert served.ask(path)[0] == 404, path
    assert served.ask("/" + "a" * 70_000)[0] == 414


@pytest.mark.parametrize(
    ("bound", "own", "strange"),
    [
        ("127.0.0.1", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9"], ["192.0.2.1"]),
        ("0.0.0.0", ["localhost:80", "192.0.2.1:80", "[2001:db8::1]"], ["192.0.2.1.x.example"]),
    ],
)
def test_only_its_own_name_is_answered(
    tmp_path: Path, bound: str, own: list[str], strange: list[str]
) -> None:
    watch = Watch([tmp_path], site_of)
    with SiteServer(bound, 0, watch, on_fault=print) as server:
        assert all(server.is_own(host) for host in own)
        evil = ["attacker.example", "localhost.attacker.example:80", "", "]", "localhost:x", None]
        assert not any(server.is_own(host) for host in (*strange, *evil))


def test_a_request_under_another_name_is_refused(served: Served) -> None:
    status, headers, text = served.ask("/", host="attacker.example")
    assert (status, text) == (421, f"expected http://127.0.0.1:{served.port}/\n")
    assert "Access-Control-Allow-Origin" not in headers
    assert served.ask("/version.json", host=None)[0] == 421


def test_a_new_record_is_on_the_page_and_changes_its_version(
    served: Served, tmp_path: Path
) -> None:
    before = served.versions()
    assert f'data-kind="records" data-version="{before["records"]}"' in served.ask("/")[2]
    assert served.versions() == before
    Store(tmp_path / "board").append(make_run("newcomer", 0, 0.5))
    after = served.versions()
    assert after["records"] != before["records"]
    assert "newcomer" in served.ask("/")[2]
    assert "connect-src 'self'" in served.ask("/")[2]
    journal = Journal(tmp_path / "run/journal.sqlite")
    journal.append(attempt(0, 0.5))
    assert served.versions()["line"] == "Live: 1 attempt, 0 trainings running."
    journal.append(attempt(1, 0.75))
    (page,) = (p for p in served.server.watch.seen().pages if p.endswith("/1/1.html"))
    assert "75.0 %" in served.ask(f"/{page}")[2]
    assert served.faults == []


def test_a_file_that_cannot_be_read_leaves_the_pages_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make_run("first", 0, 0.5))
    with serving_of(tmp_path) as served:
        whole = store.path.read_bytes()
        store.path.write_bytes(whole + b'{"half": \n')
        broken = served.versions()
        assert "could not be read" in broken["line"]
        assert "first" in served.ask("/")[2]
        progress = served.ask("/progress.html")[2]
        assert "What changed last could not be read" in progress
        assert "line 2" in progress
        assert f'data-version="{broken["progress"]}"' in progress
        assert served.versions() == broken
        store.path.write_bytes(whole)
        store.append(make_run("second", 0, 0.5))
        assert "could not be read" not in served.versions()["line"]
        assert "second" in served.ask("/")[2]


def test_a_page_that_cannot_be_made_is_told_and_the_others_are_served(
    served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    Journal(folder / "journal.sqlite").append(attempt(0, 0.5))
    seen = served.server.watch.seen()
    served.server.watch.seen = lambda: seen  # type: ignore[method-assign]
    (folder / "journal.sqlite").write_text("no database")
    (page,) = (p for p in seen.pages if p.endswith("/0.html"))
    assert served.ask(f"/{page}")[::2] == (500, "this page could not be made\n")
    assert served.ask("/")[0] == 200
    (fault,) = served.faults
    assert "is no journal" in fault
    assert "\n" not in fault


def test_how_far_trainings_are(served: Served, tmp_path: Path) -> None:
    before = served.versions()
    folder = tmp_path / "run/trainings/abc"
    training(folder, 7)
    after = served.versions()
    assert after["records"] == before["records"]
    assert after["progress"] != before["progress"]
    (tmp_path / "run/trainings/new/tensorboard").mkdir(parents=True)
    (tmp_path / "run/trainings/new/tensorboard/events").touch()
    assert "no checkpoint yet" in served.ask("/progress.html")[2]
    (tmp_path / "run/trainings/new/run.json").touch()
    assert after["line"] == "Live: 0 attempts, 1 training running."
    page = served.ask("/progress.html")[2]
    assert "Mixer &lt;b&gt; on recall-probe, seed 0" in page
    assert '7 of 11 <progress max="11" value="7"' in page
    assert "37.5" in page
    (folder / "run.json").write_text("{}")
    assert served.versions() == before


def test_a_training_elsewhere_is_followed_by_what_it_writes(tmp_path: Path) -> None:
    progress = Progress(step=9, num_steps=11, loss=1.0, seconds=8.0, accuracy=0.5, evaluated=False)
    write_atomically(tmp_path / "progress.json", to_json(progress).encode())
    view = training_view(tmp_path)
    assert view is not None
    assert (view.title, view.step, view.num_steps) == (tmp_path.name, 9, 11)
    training(tmp_path, 4)
    view = training_view(tmp_path)
    assert view is not None
    assert (view.title[:5], view.step, view.accuracy, view.seconds) == ("Mixer", 9, 0.5, 8.0)
    assert not view.is_quiet(datetime.now(UTC))
    assert view.is_quiet(datetime.now(UTC) + timedelta(hours=1))
    (tmp_path / NAME).write_text("no checkpoint")
    assert training_view(tmp_path) is None
    assert training_view(tmp_path / "none") is None
    assert read_standing(tmp_path / "none") is None


def test_how_far_a_study_is(served: Served, tmp_path: Path) -> None:
    assert study_views(tmp_path) == ()
    study = optuna.create_study(
        study_name="a <b> study", storage=open_storage(tmp_path, None), direction="maximize"
    )
    for value in (0.25, 0.5):
        study.tell(study.ask(), value)
    study.ask()
    page = served.ask("/progress.html")[2]
    assert "a &lt;b&gt; study" in page
    assert "2 complete, 1 running" in page
    assert "50.0" in page
    before = served.versions()
    study.tell(study.ask(), 0.75)
    assert served.versions()["records"] == before["records"]
    assert served.versions()["progress"] != before["progress"]
    (tmp_path / "study.log").write_text("no journal\n")
    assert study_views(tmp_path) == ()


def test_what_is_left_of_a_budget(served: Served, tmp_path: Path) -> None:
    Journal(tmp_path / "run/journal.sqlite").append(attempt(0, 0.5))
    (tmp_path / "run/design.json").write_text('{"budget": {"attempts": 5, "tokens": 100}}')
    page = served.ask("/progress.html")[2]
    assert "<dd>attempts 4; tokens 100</dd>" in page


def test_more_connections_than_places_are_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.server._places = threading.BoundedSemaphore(2)
    address = ("127.0.0.1", served.port)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(address))
        late = stack.enter_context(socket.create_connection(address, timeout=20))
        assert late.recv(1) == b""
    for _ in range(100):  # until both places are given back
        with contextlib.suppress(OSError, http.client.HTTPException):
            if served.ask("/version.json")[0] == 200:
                return
        time.sleep(0.02)
    pytest.fail("no place was given back")


def test_a_client_that_says_nothing_is_left(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving._Handler, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as silent:
        silent.sendall(b"GET / HT")
        assert silent.recv(1) == b""


def test_what_is_damaged_at_the_start_is_said(tmp_path: Path) -> None:
    Store(tmp_path).path.write_text("{}\n")
    with pytest.raises(RecordError, match="line 1"):
        Watch([tmp_path], site_of)


def test_a_folder_or_port_that_cannot_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", str(tmp_path / "none")]) == 2
    assert "no folder" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["serve", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "another program listens there" in capsys.readouterr().err
    assert run(["serve", str(tmp_path), "--host", "no host at all"]) == 2
    assert "cannot listen at no host at all" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    program = shutil.which("lra-design", path=str(Path(sys.executable).parent))
    assert program is not None
    with subprocess.Popen(
        [program, "serve", str(tmp_path), "--host", "0.0.0.0", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        port = int(line.partition("://")[2].partition("/")[0].rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT  # 130, as a shell shows it
        err = process.stderr.read()
        assert "there is no password" in err
        assert err.endswith("interrupted\n")
