"""Opening an llm by its name: `anthropic:NAME`, `openai:NAME@ADDRESS`, `replay:FILE`, ..."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.patience import Patience
from agent_sandbox.agents.llm.protocol import LLM
from agent_sandbox.agents.llm.replay import RecordingLLM, ReplayLLM
from agent_sandbox.agents.llm.scripted import ScriptedLLM
from agent_sandbox.agents.llm.service import Endpoint, ServiceLLM
from lra_design.errors import UsageError, unknown_name

OTHER_KEY = "LRA_DESIGN_LLM_KEY"
"""The environment variable with the key of a server at an address that was named."""
KINDS = {
    "anthropic": "NAME, or NAME@http://HOST:PORT",
    "openai": "NAME, or NAME@http://HOST:PORT/v1",
    "replay": "FILE",
    "scripted": "FILE",
}
"""What may be opened, and what stands behind the colon."""


def open_llm(
    name: str,
    *,
    patience: Patience | None = None,
    record_to: Path | None = None,
    num_answered: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> LLM:
    """The llm called `name`; what it answers is added to `record_to`, if given, for `replay`.

    num_answered: how often it answered before an interruption, which a script has to know. Raises
    UsageError when there is no such llm, and LLMFault when it needs a key that is missing. Nothing
    is asked yet.
    """
    kind, colon, rest = name.partition(":")
    if kind not in KINDS:
        raise unknown_name("kind of llm", kind, KINDS)
    if not colon or not rest:
        raise UsageError(f"expected {kind}:{KINDS[kind]}, found '{name}'")
    if kind == "scripted":
        llm: LLM = ScriptedLLM.from_file(Path(rest), num_given=num_answered)
    elif kind == "replay":
        llm = ReplayLLM(Path(rest))
    else:
        llm = _service(kind, rest, patience or Patience(), sleep)
    return RecordingLLM(llm, record_to) if record_to else llm


def _service(kind: str, rest: str, patience: Patience, sleep: Callable[[float], None]) -> LLM:
    """The SDKs are imported here, because that takes a second or two."""
    llm, address = _split(kind, rest)
    own = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}[kind]
    key = Key(OTHER_KEY, required=False) if address else Key(own)
    key.value()
    endpoint = _endpoint(kind, llm, address, key)
    return ServiceLLM(f"{kind}:{rest}", endpoint, key, patience, sleep)


def _endpoint(kind: str, llm: str, address: str | None, key: Key) -> Endpoint:
    if kind == "anthropic":
        from agent_sandbox.agents.llm.anthropic_client import AnthropicEndpoint

        return AnthropicEndpoint(llm, address, key)
    from agent_sandbox.agents.llm.openai_client import OpenAIEndpoint

    return OpenAIEndpoint(llm, address, key)


def _split(kind: str, rest: str) -> tuple[str, str | None]:
    """The llm's name and the address behind the `@`, if there is one.

    The name of an llm is written into records, so nothing secret may stand in an address.
    """
    llm, at, address = rest.partition("@")
    if not at:
        return rest, None
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not llm:
        raise UsageError(
            f"expected {kind}:{KINDS[kind]}; what stands behind the '@' is no such address"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "expected an address of scheme, host, port and path alone. Names of llms are written "
            f"into records: put the key into {OTHER_KEY}."
        )
    return llm, address.rstrip("/")
