"""The llms as far as no service is asked: names, keys, patience, recordings, scripts, prices."""

from __future__ import annotations

import dataclasses
import datetime
import pickle
import threading
from pathlib import Path

import pytest

from agent_sandbox.agents.llm import LLM, Prompt, Reply, TokenUsage, Turn, open_llm
from agent_sandbox.agents.llm.faults import TRANSIENT, LLMFault
from agent_sandbox.agents.llm.heard import counted
from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.opening import OTHER_KEY
from agent_sandbox.agents.llm.patience import Patience
from agent_sandbox.agents.llm.prices import PRICES_VARIABLE, cost, price_table
from agent_sandbox.agents.llm.replay import RecordingLLM, ReplayLLM, request_hash
from agent_sandbox.agents.llm.scripted import ScriptedLLM
from lra_design.errors import HarnessError, RecordError, UsageError
from lra_design.records.serialised import from_json, to_json

USAGE = TokenUsage(uncached=11, cache_read=5, cache_write=3, output=7, reasoning=2)
KEY = "sk-planted-0123456789abcdef"


def prompt(*texts: str, system: str = "the contract") -> Prompt:
    """A conversation whose turns alternate and end with the user's."""
    turns = tuple(
        Turn(role="assistant" if number % 2 else "user", text=text)
        for number, text in enumerate(texts or ("write",))
    )
    return Prompt(system=system, turns=turns, max_output_tokens=97)


def reply(text: str = "class Mixer: ...", **changes: object) -> Reply:
    plain = Reply(
        text=text, usage=USAGE, llm="anthropic:a", stop="end", seconds=0.5, num_requests=1
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


# --- what passes between agent and llm -----------------------------------------------------------


def test_prompts_and_replies_come_back_from_json() -> None:
    assert from_json(Prompt, to_json(prompt("a", "b", "c"))) == prompt("a", "b", "c")
    for answer in (reply(), reply(usage=None, stop="refused")):
        assert from_json(Reply, to_json(answer)) == answer


def test_a_prompt_ends_with_the_user_and_leaves_room_for_an_answer() -> None:
    with pytest.raises(ValueError, match="ends with a turn of the user"):
        prompt("a", "b")
    with pytest.raises(ValueError, match="ends with a turn of the user"):
        Prompt(system="", turns=(), max_output_tokens=1)
    with pytest.raises(ValueError, match="at least 1 token, found 0"):
        dataclasses.replace(prompt(), max_output_tokens=0)
    with pytest.raises(RecordError, match="ends with a turn of the user"):
        from_json(Prompt, '{"system": "", "turns": [], "max_output_tokens": 1}')


def test_usage_adds_up_and_unknown_reasoning_stays_unknown() -> None:
    assert USAGE.total == 26
    assert (
        TokenUsage(uncached=22, cache_read=10, cache_write=6, output=14, reasoning=4)
        == USAGE + USAGE
    )
    silent = dataclasses.replace(USAGE, reasoning=None)
    assert (USAGE + silent).reasoning is None


def test_usage_is_the_same_whether_a_service_counts_its_cache_as_input_or_not() -> None:
    shared = {"cache_read": 5, "cache_write": 3, "output": 7, "reasoning": 2}
    assert counted(input_tokens=11, **shared, input_includes_cache=False) == USAGE
    assert counted(input_tokens=19, **shared, input_includes_cache=True) == USAGE


def test_usage_is_unknown_unless_input_and_output_were_counted() -> None:
    nothing = {"cache_read": None, "cache_write": None, "reasoning": None}
    assert counted(input_tokens=None, output=7, **nothing, input_includes_cache=True) is None
    assert counted(input_tokens=11, output="7", **nothing, input_includes_cache=True) is None
    local = counted(input_tokens=11, output=7, **nothing, input_includes_cache=True)
    assert local == TokenUsage(uncached=11, cache_read=0, cache_write=0, output=7, reasoning=None)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("antropic:claude", "Did you mean 'anthropic'?"),
        ("claude-opus-5-5", "Known: anthropic, openai, replay, scripted"),
        ("openai", "expected openai:NAME, or NAME@http://HOST:PORT/v1, found 'openai'"),
        ("replay:", "expected replay:FILE"),
        ("openai:llama@localhost:8000", "is no such address"),
        ("openai:llama@me:secret@localhost", "is no such address"),
        ("openai:@http://localhost:8000/v1", "expected openai:NAME, or NAME@http"),
        ("openai:llama@http://[broken/v1", "is no such address"),
        ("openai:llama@http://me:secret@host/v1", f"put the key into {OTHER_KEY}"),
        ("openai:llama@http://host/v1?key=secret", f"put the key into {OTHER_KEY}"),
        ("replay:no/such.jsonl", "expected a recording in no/such.jsonl, found no file"),
        ("scripted:no/such.txt", "expected answers in no/such.txt, found no text"),
    ],
)
def test_a_name_that_opens_nothing_says_what_would(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_llm(name)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
@pytest.mark.parametrize("key", ["", "  \n", "two words", "clé"])
def test_without_a_key_nothing_is_opened(
    kind: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{kind.upper()}_API_KEY"
    monkeypatch.setenv(variable, key)
    with pytest.raises(LLMFault, match=f"expected a key in {variable}") as caught:
        open_llm(f"{kind}:any")
    assert caught.value.kind == "authentication"
    assert not key.strip() or key not in str(caught.value)
    assert isinstance(caught.value, HarnessError)  # and so never a candidate's fault


def test_a_key_is_read_when_needed_and_hidden_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = Key("SOME_KEY")
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    assert key.value() == KEY
    assert KEY not in repr(key)
    assert key.hide(f"wrong key: Bearer {KEY}!") == "wrong key: Bearer [SOME_KEY]!"
    monkeypatch.setenv("SOME_KEY", "ollama")
    assert key.hide("pip install ollama") == "pip install ollama"
    monkeypatch.delenv("SOME_KEY")
    assert key.hide("text") == "text"
    assert Key("SOME_KEY", required=False).value() == "none"


# --- patience ------------------------------------------------------------------------------------


def test_waits_double_and_end_with_the_requests() -> None:
    patience = Patience(num_requests=4, first_wait=2.0)
    fault = LLMFault("unavailable", "")
    waits = [patience.wait_after(fault, n, seconds_left=1000) for n in (1, 2, 3, 4)]
    for wait, longest in zip(waits, (2.0, 4.0, 8.0), strict=False):
        assert wait is not None
        assert longest / 2 <= wait <= longest
    assert waits[3] is None
    late = Patience(num_requests=100).wait_after(fault, 50, seconds_left=1000)
    assert late is not None
    assert late <= 60


def test_the_wish_of_the_service_is_followed_unless_it_is_too_long() -> None:
    patience = Patience(longest_wait=30.0)
    for wish, left, expected in ((7.0, 100.0, 7.0), (31.0, 100.0, None), (7.0, 5.0, None)):
        fault = LLMFault("rate limit", "", retry_after=wish)
        assert patience.wait_after(fault, 1, left) == expected


@pytest.mark.parametrize("kind", ["authentication", "quota", "refused", "bad request", "no answer"])
def test_what_will_not_pass_is_not_asked_again(kind: str) -> None:
    assert kind not in TRANSIENT
    fault = LLMFault(kind, "", retry_after=1.0)  # type: ignore[arg-type]
    assert Patience().wait_after(fault, 1, 1000) is None


def test_a_fault_crosses_processes_whole() -> None:
    fault = LLMFault("rate limit", "busy.", retry_after=7.0, usage=USAGE, num_requests=3)
    again = pickle.loads(pickle.dumps(fault))
    assert (str(again), vars(again)) == (str(fault), vars(fault))
    assert str(fault).startswith("llm rate limit: busy. Wait, run fewer agents at once")


# --- recorded answers ----------------------------------------------------------------------------


def test_a_recording_gives_the_same_replies_again(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "run.jsonl"
    llm: LLM = RecordingLLM(ScriptedLLM([reply("one"), reply("two"), reply("three")]), path)
    asked = [prompt("a"), prompt("b"), prompt("a")]
    given = [llm.complete(it) for it in asked]
    heard: list[str] = []
    again = open_llm(f"replay:{path}")
    assert [again.complete(it, heard.append) for it in asked] == given
    assert heard == ["one", "two", "three"]
    assert again.name == f"replay:{path}"
    assert llm.name == "scripted"


def test_open_llm_records_what_it_is_told_to(tmp_path: Path) -> None:
    script, path = tmp_path / "answers.txt", tmp_path / "run.jsonl"
    script.write_text("--- answer ---\nyes\n")
    answer = open_llm(f"scripted:{script}", record_to=path).complete(prompt())
    assert ReplayLLM(path).complete(prompt()) == answer


@pytest.mark.parametrize("other", [prompt("b"), prompt("a", system="other"), prompt("a", "b", "c")])
def test_a_request_that_was_not_recorded_is_named(other: Prompt, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    RecordingLLM(ScriptedLLM(["one"]), path).complete(prompt("a"))
    with pytest.raises(LLMFault, match=r"is recorded 0 times in .*, which holds 1 replies"):
        ReplayLLM(path).complete(other)


def test_a_request_made_too_often_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    RecordingLLM(ScriptedLLM(["one"]), path).complete(prompt())
    replayed = ReplayLLM(path)
    replayed.complete(prompt())
    with pytest.raises(LLMFault, match="is recorded 1 times") as caught:
        replayed.complete(prompt())
    assert caught.value.kind == "no answer"
    assert request_hash(prompt())[:12] in str(caught.value)


def test_faults_are_not_recorded_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    llm = RecordingLLM(ScriptedLLM([LLMFault("timeout", ""), "one"]), path)
    with pytest.raises(LLMFault):
        llm.complete(prompt())
    llm.complete(prompt())
    assert ReplayLLM(path).complete(prompt()).text == "one"
    with path.open("a") as file:
        file.write('{"request": "x"}\n')
    with pytest.raises(RecordError, match=f"line 2 of {path} is no recorded reply"):
        ReplayLLM(path)


# --- scripts -------------------------------------------------------------------------------------


def test_a_script_gives_its_answers_in_order(tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text(
        "--- answer ---\n```python\nx = 1\n```\n\n--- answer: refused ---\nno\n"
        "--- answer: length ---\ncut o\n--- answer ---\n"
    )
    llm = open_llm(f"scripted:{path}")
    replies = [llm.complete(prompt()) for _ in range(4)]
    assert [it.text for it in replies] == ["```python\nx = 1\n```", "no", "cut o", ""]
    assert [it.stop for it in replies] == ["end", "refused", "length", "end"]
    assert {it.usage for it in replies} == {None}
    with pytest.raises(LLMFault, match="holds 4 answers and was asked once more"):
        llm.complete(prompt())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begin with a line '--- answer ---', found ''"),
        ("hello\n--- answer ---\n", "begin with a line '--- answer ---', found 'hello'"),
        ("--- answer: maybe ---\n", "end or length or refused, found 'maybe'"),
    ],
)
def test_a_file_that_is_no_script_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        open_llm(f"scripted:{path}")


def test_a_script_may_be_a_function_or_go_on_in_the_middle() -> None:
    echo = ScriptedLLM(lambda asked: asked.turns[-1].text.upper())
    assert echo.complete(prompt("a", "b", "c")).text == "C"
    assert ScriptedLLM(["one", "two"], num_given=1).complete(prompt()).text == "two"


def test_threads_get_different_answers(tmp_path: Path) -> None:
    llm = RecordingLLM(ScriptedLLM([str(n) for n in range(40)]), tmp_path / "run.jsonl")
    texts: list[str] = []

    def ask() -> None:
        for _ in range(10):
            texts.append(llm.complete(prompt()).text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts, key=int) == [str(n) for n in range(40)]


# --- prices --------------------------------------------------------------------------------------


def test_a_reply_costs_what_each_kind_of_token_costs() -> None:
    answer = reply(llm="anthropic:claude-opus-5-5")
    assert cost(answer) == pytest.approx((11 * 4.0 + 5 * 0.2 + 3 * 5.0 + 7 * 20.0) / 1e6)


def test_an_unknown_price_or_usage_is_unknown_and_never_zero() -> None:
    assert cost(reply(llm="anthropic:claude-of-tomorrow")) is None
    assert cost(reply(llm="openai:gpt-6-sol@http://localhost:8000/v1")) is None
    assert cost(reply(llm="anthropic:claude-opus-5-5", usage=None)) is None


def test_a_long_prompt_has_prices_of_its_own() -> None:
    name = "openai:gpt-5.6-luna"
    short = dataclasses.replace(USAGE, uncached=272_000 - 8)
    long = dataclasses.replace(USAGE, uncached=272_000 - 7)
    at_most = cost(reply(llm=name, usage=short))
    assert at_most == pytest.approx((271_992 * 0.2 + 5 * 0.02 + 3 * 0.25 + 7 * 1.2) / 1e6)
    above = cost(reply(llm=name, usage=long))
    assert above == pytest.approx((271_993 * 0.4 + 5 * 0.04 + 3 * 0.5 + 7 * 1.8) / 1e6)
    assert cost(reply(llm=name, usage=long, num_requests=2)) is None
    assert cost(reply(llm="openai:gpt-6-sol", usage=long)) is None


def test_every_price_says_where_and_when_it_stood() -> None:
    for name, price in price_table().items():
        assert name.split(":")[0] in ("anthropic", "openai")
        assert price.source.startswith("https://")
        assert datetime.date.fromisoformat(price.checked).year >= 2026
        cheap = price.rates.cache_read
        assert cheap is not None
        assert 0 < cheap < price.rates.uncached < price.rates.output
    names = [name for price in set(price_table().values()) for name in price.names]
    assert len(names) == len(set(names)) == len(price_table())


PRICE = """
[[price]]
names = ["openai:local@http://localhost:8000/v1", "anthropic:claude-opus-5-5"]
source = "our own electricity"
checked = "2026-11-21"
rates = { uncached = 1.0, output = 2.0 }
"""


def test_a_user_adds_prices_and_changes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICE)
    monkeypatch.setenv(PRICES_VARIABLE, str(path))
    plain = TokenUsage(uncached=11, cache_read=0, cache_write=0, output=7, reasoning=None)
    for name in ("openai:local@http://localhost:8000/v1", "anthropic:claude-opus-5-5"):
        assert cost(reply(llm=name, usage=plain)) == pytest.approx(25e-6)
        assert cost(reply(llm=name)) is None  # the cache has no price here
    assert cost(reply(llm="anthropic:claude-opus-5")) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "expected a table of prices in"),
        ("", "expected entries [[price]] and nothing else"),
        (PRICE + "[other]\n", "expected entries [[price]] and nothing else"),
        (PRICE.replace("output", "ouput"), "price 1 of"),
        (PRICE.replace("1.0", "-1.0"), "expected no price below 0, found -1.0"),
        (PRICE.replace("1.0", "inf"), "price 1 of"),
        (PRICE.replace("1.0", "'one'"), "price 1 of"),
    ],
)
def test_a_wrong_table_of_prices_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises((UsageError, RecordError)) as caught:
        price_table(path)
    assert said in str(caught.value)
