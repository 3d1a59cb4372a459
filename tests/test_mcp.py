"""The MCP server: a real process on stdio, asked by the SDK's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from test_external import searched, workspace
from test_llm_operators import report_on

from agent_sandbox.agents.external import desk
from agent_sandbox.agents.external.agent import ExternalAgent
from agent_sandbox.agents.external.mailbox import MAX_BYTES, Mailbox
from lra_design.cli import run
from lra_design.home import HOME_VARIABLE
from lra_design.records import Attempt, Budget
from mechanisms import reference_source

if TYPE_CHECKING:
    from mcp import StdioServerParameters
    from mcp.client import Client

COMMAND = "import sys; from lra_design.cli import main; sys.argv[0] = 'lra-design'; main()"


def server(folder: Path, *options: str) -> StdioServerParameters:
    from mcp import StdioServerParameters  # takes two seconds

    return StdioServerParameters(
        command=sys.executable,
        args=["-c", COMMAND, "mcp", "--workspace", str(folder), *options],
        env={HOME_VARIABLE: os.environ[HOME_VARIABLE]},
    )


def connected(folder: Path, **options: Any) -> Client:
    from mcp.client import Client

    return Client(server(folder), **options)


async def told(client: Client, tool: str, **arguments: str) -> dict[str, Any]:
    """The structured answer of a tool that is not to fail."""
    result = await client.call_tool(tool, dict(arguments))
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: str) -> str:
    """What a tool that is to fail says."""
    result = await client.call_tool(tool, dict(arguments))
    assert result.is_error
    (content,) = result.content
    assert content.type == "text"
    return content.text


class Attached(threading.Event):
    """The program of the search: it runs until the event is set."""

    def ended(self) -> str | None:
        return "the client hung up" if self.is_set() else None


@contextmanager
def judge(folder: Path, place: Path, budget: Budget) -> Iterator[list[Attempt]]:
    """A search that serves the desk of `place` beside; its attempts, when it has ended."""
    mailbox, program = Mailbox(place), Attached()
    agent = ExternalAgent("mcp", mailbox, program, budget, report_on)
    attempts: list[Attempt] = []

    def serve() -> None:
        attempts.extend(searched(agent, folder, budget))
        mailbox.close(agent.end or "the budget is spent")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield attempts
    finally:
        program.set()
        thread.join(20)
    assert not thread.is_alive()


def test_an_agent_works_at_the_desk_and_submits(tmp_path: Path) -> None:
    place = workspace(tmp_path)

    async def work() -> None:
        async with connected(place) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"validate", "evaluate", "status", "submit"}
            assert tools["evaluate"].input_schema["required"] == ["source"]
            assert "scores" in (tools["evaluate"].output_schema or {})["properties"]
            brief = await client.read_resource("lra-design://brief")
            assert "nested lists" in str(brief.contents[0])
            contract = await client.read_resource("lra-design://contract")
            assert "class MechanismConfig" in str(contract.contents[0])

            assert (await told(client, "validate", source="x = 1\n"))["valid"] is True
            leaky = await told(client, "validate", source="leak = 1\n")
            assert leaky["findings"][0]["hint"] == "cumulate"
            too_long = await refused(client, "validate", source="x" * MAX_BYTES)
            assert f"at most {MAX_BYTES} bytes" in too_long
            tried = await told(client, "evaluate", source="x = 2\n", change="two")
            assert tried["attempt"] == 0
            assert set(tried["scores"]) == {"recall-v1"}
            assert 0 < tried["accuracy"] < 1
            so_far = await told(client, "status")
            assert so_far["attempts"][0]["change"] == "two"
            assert so_far["left"] == {"attempts": 2}
            failed = await told(client, "evaluate", source="leak = 2\n")
            assert failed["valid"] is False
            assert [finding["check"] for finding in failed["findings"]] == ["LRA203"]
            assert (await told(client, "submit", source="x = 3\n", change="best"))["left"] == {
                "attempts": 0
            }
            assert "the desk has closed: " in await refused(client, "evaluate", source="x = 4\n")

    with judge(tmp_path, place, Budget(attempts=3)) as attempts:
        anyio.run(work)
    assert [attempt.proposal.operator for attempt in attempts] == ["evaluate", "evaluate", "submit"]


@pytest.mark.slow
def test_without_a_desk_it_says_what_to_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with connected(tmp_path, mode="legacy") as client:
            assert "source\n  Field required" in await refused(client, "submit")
            complaint = await refused(client, "status")
            assert f"no design runs in {tmp_path}" in complaint
            assert "lra-design design --agent" in complaint
            with pytest.raises(Exception, match=r"no BRIEF\.md in"):
                await client.read_resource("lra-design://brief")

    anyio.run(work)


def test_a_design_that_starts_again_forgets_what_was_asked(tmp_path: Path) -> None:
    """And says so, instead of letting its asker wait for ever."""
    place = workspace(tmp_path)
    Mailbox(place)
    name = desk.post({"verb": "status"}, place / ".desk")
    assert desk.collect(name, place / ".desk") is None
    mailbox = Mailbox(place)
    with pytest.raises(desk.Closed, match="ask again"):
        desk.collect(name, place / ".desk")
    mailbox.close("over")
    with pytest.raises(desk.Closed, match="over"):
        desk.collect(name, place / ".desk")


def test_a_folder_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mcp", "--workspace", "no/such/folder"]) == 2
    printed = capsys.readouterr()
    assert "'no/such/folder' does not exist" in printed.err
    assert printed.out == ""


def test_without_the_sdk_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "lra_design.cli.mcp_server", raising=False)
    assert run(["mcp"]) == 2
    assert "pip install 'lra-design[mcp]'" in capsys.readouterr().err


HELLO = {
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "lines", "version": "0"},
    },
}
CALLS = (
    HELLO,
    {
        "method": "tools/call",
        "params": {"name": "validate", "arguments": {"source": reference_source("mean")}},
    },
    {
        "method": "tools/call",
        "params": {"name": "validate", "arguments": {"source": "print('{}', flush=True)\n"}},
    },
)


@contextmanager
def spoken_to(
    parameters: StdioServerParameters, *calls: dict[str, Any]
) -> Iterator[subprocess.Popen[str]]:
    """A server that was sent these calls, as lines, with ids from 0."""
    lines = [json.dumps({"jsonrpc": "2.0", "id": i, **call}) for i, call in enumerate(calls)]
    lines.insert(1, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    with subprocess.Popen(
        [parameters.command, *parameters.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **(parameters.env or {})},
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write("\n".join(lines) + "\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_client_that_hangs_up_while_it_waits_ends_the_server(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    mailbox = Mailbox(place)
    status = {"method": "tools/call", "params": {"name": "status", "arguments": {}}}
    with spoken_to(server(place), HELLO, status) as process:
        deadline = time.monotonic() + 60
        while (taken := mailbox.next()) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert taken is not None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.slow
def test_validate_works_alone_and_stdout_holds_answers_only(tmp_path: Path) -> None:
    """Lines of JSON-RPC without an SDK, by an older version of the protocol."""
    with spoken_to(server(tmp_path, "--mode", "bidirectional"), *CALLS) as process:
        assert process.stdout is not None
        answers = [json.loads(process.stdout.readline()) for _ in CALLS]
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(20) == 0
    results = {answer["id"]: answer["result"] for answer in answers}
    assert results[0]["protocolVersion"] == "2025-06-18"
    assert results[1]["structuredContent"] == {"valid": True, "findings": []}
    refusal = results[2]["structuredContent"]
    assert refusal["valid"] is False
    assert refusal["findings"][0]["check"].startswith("LRA")
