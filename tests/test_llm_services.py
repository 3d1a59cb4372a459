"""The real SDKs of Anthropic and OpenAI against a fake server that speaks their protocols.

By default one whole conversation with each; everything else waits for `-m slow`, because loading
an SDK takes two seconds of a processor.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_llm_server import (
    Behaviour,
    FakeLLMServer,
    breaks_off,
    calls_tool,
    fails,
    fails_in_stream,
    hangs,
    says,
    sends,
    stream,
)

from agent_sandbox.agents.llm import LLM, LLMFault, Prompt, TokenUsage, Turn, open_llm
from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.opening import OTHER_KEY
from agent_sandbox.agents.llm.patience import Patience
from agent_sandbox.isolation import open_isolation
from lra_design.records import Limits

KINDS = ("anthropic", "openai")
KEY = "sk-planted-0123456789abcdef"
USAGE = TokenUsage(uncached=11, cache_read=5, cache_write=3, output=7, reasoning=2)
"""What the fake server counts."""
ASKED = Prompt(
    system="the contract", turns=(Turn(role="user", text="write"),), max_output_tokens=97
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLMServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(OTHER_KEY, KEY)
    with FakeLLMServer() as serving:
        yield serving


def opened(
    server: FakeLLMServer, kind: str, waits: list[float] | None = None, **patience: Any
) -> LLM:
    """The llm there, which notes its waits and does not make them."""
    noted = [] if waits is None else waits
    return open_llm(server.name(kind), patience=Patience(**patience), sleep=noted.append)


def fault(server: FakeLLMServer, kind: str, *behaviours: Behaviour, **patience: Any) -> LLMFault:
    """What comes of asking when the server does this."""
    server.behaviours[:] = behaviours
    with pytest.raises(LLMFault) as caught:
        opened(server, kind, **patience).complete(ASKED)
    return caught.value


# --- one whole conversation with each ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_comes_through_whatever_came_before_it(kind: str, server: FakeLLMServer) -> None:
    overloaded = fails(529, "overloaded_error", headers={"retry-after": "3"})
    limited = fails(429, "rate_limit_error", headers={"retry-after-ms": "150"})
    server.behaviours[:] = [overloaded, limited, breaks_off(4), says("class Mixer: ...")]
    waits: list[float] = []
    heard: list[str] = []
    llm = opened(server, kind, waits, first_wait=0.25)
    reply = llm.complete(ASKED, heard.append)
    assert reply.text == "class Mixer: ..."
    assert "".join(heard).endswith(reply.text)
    assert (reply.stop, reply.num_requests, reply.llm) == ("end", 4, server.name(kind))
    assert waits[:2] == [3.0, 0.15]
    assert 0.5 <= waits[2] <= 1.0
    assert reply.usage is not None
    assert reply.usage.output >= USAGE.output  # and what the broken stream had reported
    assert {it.headers["authorization"] for it in server.requests} == {f"Bearer {KEY}"}
    assert KEY not in repr(llm)
    assert KEY not in repr(vars(llm))
    denied = fault(server, kind, fails(401, "authentication_error", "not {authorization}"))
    assert denied.kind == "authentication"
    assert f"not Bearer [{OTHER_KEY}]" in str(denied)


# --- what is sent --------------------------------------------------------------------------------


@pytest.mark.slow
def test_anthropic_is_asked_to_cache_what_stays(server: FakeLLMServer) -> None:
    llm = opened(server, "anthropic")
    llm.complete(ASKED)
    turns = (*ASKED.turns, Turn(role="assistant", text=" \n"), Turn(role="user", text="again"))
    llm.complete(Prompt(system=" ", turns=turns, max_output_tokens=5))
    first, second = (it.body for it in server.requests)
    cached = {"cache_control": {"type": "ephemeral"}}
    assert first == {
        "model": "tester",
        "max_tokens": 97,
        "stream": True,
        "system": [{"type": "text", "text": "the contract", **cached}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "write"}]}],
    }
    assert "system" not in second
    assert [it["content"] for it in second["messages"]] == [
        [{"type": "text", "text": "write"}],
        [{"type": "text", "text": "(nothing)"}],
        [{"type": "text", "text": "again", **cached}],
    ]


@pytest.mark.slow
def test_openai_is_asked_to_keep_nothing_but_the_cache(server: FakeLLMServer) -> None:
    llm = opened(server, "openai")
    llm.complete(ASKED)
    turns = (*ASKED.turns, Turn(role="assistant", text=""), Turn(role="user", text="again"))
    llm.complete(Prompt(system="the contract", turns=turns, max_output_tokens=5))
    llm.complete(Prompt(system="", turns=turns, max_output_tokens=5))
    first, second, third = (it.body for it in server.requests)
    key = first.pop("prompt_cache_key")
    assert first == {
        "model": "tester",
        "stream": True,
        "store": False,
        "max_output_tokens": 97,
        "instructions": "the contract",
        "input": [{"role": "user", "content": "write"}],
    }
    assert key == second["prompt_cache_key"] != third["prompt_cache_key"]
    assert [it["content"] for it in second["input"]] == ["write", "(nothing)", "again"]
    assert "instructions" not in third


@pytest.mark.slow
def test_at_openai_itself_the_tier_is_the_one_whose_prices_are_known() -> None:
    from agent_sandbox.agents.llm.openai_client import OpenAIEndpoint

    request = OpenAIEndpoint("gpt", None, Key("OPENAI_API_KEY"))._request(ASKED)
    assert request["service_tier"] == "default"


# --- what comes back -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stop", "expected"),
    [
        ("anthropic", None, "end"),
        ("anthropic", "stop_sequence", "end"),
        ("anthropic", "max_tokens", "length"),
        ("anthropic", "model_context_window_exceeded", "length"),
        ("anthropic", "refusal", "refused"),
        ("openai", None, "end"),
        ("openai", "max_output_tokens", "length"),
        ("openai", "content_filter", "refused"),
        ("openai", "refusal", "refused"),
    ],
)
def test_why_it_stopped_is_told_in_our_words(
    kind: str, stop: str | None, expected: str, server: FakeLLMServer
) -> None:
    server.behaviours[:] = [says("I would rather not", stop=stop)]
    reply = opened(server, kind).complete(ASKED)
    assert (reply.stop, reply.text, reply.num_requests) == (expected, "I would rather not", 1)
    assert reply.usage == USAGE


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_answer_is_an_answer(kind: str, server: FakeLLMServer) -> None:
    server.behaviours[:] = [says("")]
    reply = opened(server, kind).complete(ASKED)
    assert (reply.text, reply.stop, reply.usage) == ("", "end", USAGE)


@pytest.mark.slow
def test_a_server_that_counts_less_and_does_not_stream_is_understood(
    server: FakeLLMServer,
) -> None:
    response = (
        b'event: response.completed\ndata: {"type": "response.completed", "response": {'
        b'"status": "completed", "output": [{"type": "message", "content": [{"type": '
        b'"output_text", "text": "all at once"}]}], "usage": {"input_tokens": 13, '
        b'"output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}}}\n\n'
    )
    server.behaviours[:] = [sends(response)]
    heard: list[str] = []
    reply = opened(server, "openai").complete(ASKED, heard.append)
    assert (reply.text, heard) == ("all at once", ["all at once"])
    assert reply.usage == TokenUsage(
        uncached=10, cache_read=3, cache_write=0, output=2, reasoning=None
    )


@pytest.mark.slow
def test_what_a_broken_stream_reported_is_counted(server: FakeLLMServer) -> None:
    server.behaviours[:] = [breaks_off(5), fails(500, "api_error"), says("whole")]
    reply = opened(server, "anthropic").complete(ASKED)
    once = TokenUsage(uncached=11, cache_read=5, cache_write=3, output=1, reasoning=None)
    assert reply.usage == once + USAGE
    lost = fault(server, "anthropic", breaks_off(5), breaks_off(5), num_requests=2)
    assert (lost.usage, lost.num_requests) == (once + once, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_several_threads_ask_at_once(kind: str, server: FakeLLMServer) -> None:
    server.behaviours[:] = [says(f"answer {n}") for n in range(8)]
    llm = opened(server, kind)
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(llm.complete(ASKED).text)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == [f"answer {n}" for n in range(8)]


# --- faults --------------------------------------------------------------------------------------

NONSENSE = (
    b"event: message_start\ndata: {nonsense\n\n",
    b'event: message_start\ndata: {"type": "message_start"}\n\n',
    b'event: response.completed\ndata: {"type": "response.completed"}\n\n',
    b'event: x\ndata: {"type": "response.output_text.delta", "delta": 7}\n\n',
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": '
    b'{"type": "text_delta"}}\n\n',
    b"event: x\ndata: [1, 2]\n\n",
    b"\xff\xfe\x00",
)
FAULTS: list[tuple[Behaviour, str, str]] = [
    (fails(401, "authentication_error", "invalid key"), "authentication", "401: invalid key"),
    (fails(403, "permission_error"), "authentication", "403"),
    (fails(402, "billing_error"), "quota", "402"),
    (fails(429, "insufficient_quota"), "quota", "Add credit"),
    (fails(404, "not_found_error"), "bad request", "the llm's name"),
    (fails(400, "invalid_request_error", "too long"), "bad request", "400: too long"),
    (fails(400, "invalid_prompt"), "refused", "another llm"),
    (fails(413, "request_too_large"), "bad request", "the size of the prompt"),
    (fails(429, "rate_limit_error"), "rate limit", "2 requests"),
    (fails(529, "overloaded_error"), "unavailable", "2 requests"),
    (fails(503, "api_error"), "unavailable", "2 requests"),
    (fails(504, "timeout_error"), "timeout", "2 requests"),
    (fails_in_stream("overloaded_error"), "unavailable", "2 requests"),
    (fails_in_stream("rate_limit_error"), "rate limit", "2 requests"),
    (fails_in_stream("invalid_request_error"), "bad request", "1 request:"),
    (breaks_off(0), "unavailable", "2 requests"),
    (breaks_off(4), "truncated", "2 requests"),
    (breaks_off(0, politely=True), "truncated", "at 0 signs"),
    (breaks_off(4, politely=True), "truncated", "2 requests"),
    (sends(b"<html>Sign in</html>", kind="text/html"), "truncated", "2 requests"),
    (sends(b"<html>Bad gateway</html>", status=502, kind="text/html"), "unavailable", "502"),
    (sends(b"", status=204), "truncated", "2 requests"),
    (sends(b"", status=307, location="http://127.0.0.1:1/"), "bad request", "a redirect"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("behaviour", "expected", "said"), FAULTS)
def test_each_fault_is_named_and_says_what_to_do(
    kind: str, behaviour: Behaviour, expected: str, said: str, server: FakeLLMServer
) -> None:
    found = fault(server, kind, behaviour, behaviour, num_requests=2)
    assert found.kind == expected
    assert said in str(found)
    assert server.name(kind) in str(found)
    assert found.num_requests == len(server.requests)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", NONSENSE)
def test_nonsense_is_no_answer(kind: str, content: bytes, server: FakeLLMServer) -> None:
    found = fault(server, kind, sends(content), sends(content), num_requests=2)
    assert found.kind in ("garbled", "truncated")
    assert found.num_requests == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_stream_is_cut_its_part_is_never_the_answer(
    kind: str, server: FakeLLMServer
) -> None:
    whole = stream("messages" if kind == "anthropic" else "responses", "class Mixer: ...")
    server.behaviours[:] = [sends(whole[:at]) for at in range(0, len(whole), 7)]
    outcomes = [outcome(server, kind) for _ in range(len(server.behaviours))]
    assert set(outcomes) <= {"truncated", "garbled", ("class Mixer: ...", USAGE)}
    assert len(outcomes) > 50
    assert len([it for it in outcomes if not isinstance(it, str)]) <= 1  # cut at its last newlines


def outcome(server: FakeLLMServer, kind: str) -> object:
    """What one request gives: the kind of its fault, or the answer."""
    try:
        reply = opened(server, kind, num_requests=1).complete(ASKED)
    except LLMFault as cut:
        return cut.kind
    return reply.text, reply.usage


@pytest.mark.slow
def test_a_call_of_a_tool_that_was_not_offered_is_no_answer(server: FakeLLMServer) -> None:
    found = fault(server, "anthropic", calls_tool("run", {"x": 1}), num_requests=1)
    assert found.kind == "garbled"
    assert "stopped for tool_use" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_named(kind: str, server: FakeLLMServer) -> None:
    address = server.address
    name = server.name(kind)
    server.__exit__()
    llm = open_llm(name, patience=Patience(num_requests=2), sleep=lambda _: None)
    with pytest.raises(LLMFault, match=r"2 requests: .*refused") as caught:
        llm.complete(ASKED)
    assert caught.value.kind == "unavailable"
    assert address in str(caught.value)
    server.__enter__()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("comments", [False, True])
def test_a_server_that_hangs_in_mid_answer_is_left(
    kind: str, comments: bool, server: FakeLLMServer
) -> None:
    opened(server, kind).complete(ASKED)  # the SDK loads its own parts
    began = time.monotonic()
    found = fault(server, kind, hangs(comments=comments), hangs(), seconds=0.8, silent_seconds=0.5)
    assert found.kind == "timeout"
    assert 0.4 < time.monotonic() - began < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_answer_is_cut_off(
    kind: str, server: FakeLLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_sandbox.agents.llm.http.MAX_BYTES", 1000)
    found = fault(server, kind, says("word " * 1000), num_requests=1)
    assert (found.kind, "longer than 1000 bytes" in str(found)) == ("garbled", True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wish", "requests"), [("3600", 1), ("soon", 2), ("-5", 2), ("nan", 2), ("1e999", 2)]
)
def test_a_wish_that_is_too_long_or_none_at_all(
    kind: str, wish: str, requests: int, server: FakeLLMServer
) -> None:
    limited = fails(429, "rate_limit_error", headers={"retry-after": wish})
    found = fault(server, kind, limited, limited, num_requests=2)
    assert (found.kind, found.num_requests) == ("rate limit", requests)
    assert ("asked to wait 3600 s" in str(found)) == (wish == "3600")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_date_to_wait_for_and_a_word_not_to_try_again(kind: str, server: FakeLLMServer) -> None:
    past = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    server.behaviours[:] = [fails(503, "api_error", headers=past), says("whole")]
    waits: list[float] = []
    assert opened(server, kind, waits).complete(ASKED).text == "whole"
    assert waits == [0.0]
    never = {"x-should-retry": "false"}
    assert fault(server, kind, fails(503, "api_error", headers=never)).num_requests == 1


@pytest.mark.slow
def test_a_server_without_the_responses_api_is_told_from_a_wrong_name(
    server: FakeLLMServer,
) -> None:
    name = server.name("openai").removesuffix("/v1")
    with pytest.raises(LLMFault, match=r"expected the Responses API at .*/responses"):
        open_llm(name, sleep=lambda _: None).complete(ASKED)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_display_is_not_the_services(kind: str, server: FakeLLMServer) -> None:
    def broken(_: str) -> None:
        raise TypeError("no screen")

    with pytest.raises(TypeError, match="no screen"):
        opened(server, kind).complete(ASKED, broken)


# --- the key -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_written_nowhere(
    kind: str,
    server: FakeLLMServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each kind of fault is provoked, and everything that could have been written is searched."""
    caplog.set_level(logging.DEBUG)
    for logger in ("anthropic", "openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=logger)
    written = [repr(opened(server, kind))]
    echo = "your key was {authorization}"
    behaviours = [behaviour for behaviour, _, _ in FAULTS]
    behaviours += [fails(status, "x", echo) for status in (400, 401, 404, 429, 500)]
    behaviours += [sends(content) for content in NONSENSE]
    behaviours += [fails_in_stream("api_error", f"your key was {KEY}"), hangs()]
    behaviours.append(sends(KEY.encode(), status=500, kind="text/plain"))
    for behaviour in behaviours:
        found = fault(server, kind, behaviour, num_requests=1, silent_seconds=0.3)
        written += [str(found), repr(found), repr(vars(found))]
        written += traceback.format_exception(found)
        assert found.__context__ is None  # nothing that knows the request hangs on it
    record = tmp_path / "run.jsonl"
    server.behaviours[:] = [says(f"your key is {KEY}")]
    llm = open_llm(server.name(kind), record_to=record)
    written += [llm.complete(ASKED).text, record.read_text(), caplog.text, *capfd.readouterr()]
    assert "HTTP Request" in caplog.text
    assert [text for text in written if KEY in text] == []
    assert len(server.requests) == len(behaviours) + 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_gets_no_key(kind: str, server: FakeLLMServer) -> None:
    with FakeLLMServer() as other:
        away = sends(b"", status=308, location=other.name(kind).split("@")[1])
        assert fault(server, kind, away).kind == "bad request"
        assert other.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_key_of_the_environment_is_sent(
    kind: str, server: FakeLLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY")
    for variable in variables:
        monkeypatch.setenv(variable, f"sk-another-{variable}")
    for variable in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    opened(server, kind).complete(ASKED)
    monkeypatch.delenv(OTHER_KEY)
    opened(server, kind).complete(ASKED)
    keys = [request.headers["authorization"] for request in server.requests]
    assert keys == [f"Bearer {KEY}", "Bearer none"]
    assert "sk-another" not in repr(server.requests)


@pytest.mark.slow
def test_a_worker_finds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", OTHER_KEY):
        monkeypatch.setenv(variable, KEY)
    source = """
import os
values = {"environment": str(dict(os.environ)), "parents": ""}
for process in ("self", os.getppid(), 1):
    try:
        values["parents"] += str(open(f"/proc/{process}/environ", "rb").read())
    except OSError:
        pass
"""
    with (
        open_isolation(program_folders=[Path(__file__).parent]) as isolation,
        isolation.start_program("isolation_programs:Candidate", Limits(), labels=False) as worker,
    ):
        values = worker.call("run", {"source": source}, seconds=20.0).values
    assert values["environment"]
    assert KEY not in str(values)
    assert "API_KEY" not in str(values)


# --- the fake server itself ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_fake_speaks_to_a_client_that_uses_tools_and_does_not_stream(
    server: FakeLLMServer,
) -> None:
    import anthropic
    import openai

    server.behaviours[:] = [calls_tool("run", {"x": 1}), says("1"), calls_tool("run", {"x": 1})]
    tool: Any = {"name": "run", "input_schema": {"type": "object"}}
    messages: Any = [{"role": "user", "content": "go"}]
    with anthropic.Anthropic(api_key="k", base_url=server.address) as client:
        with client.messages.stream(
            model="m", max_tokens=9, messages=messages, tools=[tool]
        ) as stream:
            final: Any = stream.get_final_message()
        assert (final.stop_reason, final.content[0].input) == ("tool_use", {"x": 1})
        plain: Any = client.messages.create(model="m", max_tokens=9, messages=messages)
        assert plain.content[0].text == "1"
    with openai.OpenAI(api_key="k", base_url=f"{server.address}/v1") as other:
        with other.responses.stream(model="m", input="go") as events:
            response: Any = events.get_final_response()
        assert (response.output[0].name, response.output[0].arguments) == ("run", '{"x": 1}')
        assert other.responses.create(model="m", input="go").output_text == "Hello."
