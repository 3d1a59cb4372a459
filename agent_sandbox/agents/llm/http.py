"""What the SDKs of both services have in common: one HTTP library and the shape of their errors."""

from __future__ import annotations

import email.utils
import functools
import math
import ssl
import time
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import httpx2

from agent_sandbox.agents.llm.faults import TRANSIENT, LLMFault, LLMFaultKind
from agent_sandbox.agents.llm.heard import Heard

MAX_BYTES = 64 * 2**20
"""Of one response; an answer has a hundredth of it."""
_MAX_DETAIL = 500
"""Characters of a service's own words in a message."""

_BY_NAME: dict[str, LLMFaultKind] = {
    "authentication_error": "authentication",
    "invalid_api_key": "authentication",
    "permission_error": "authentication",
    "billing_error": "quota",
    "insufficient_quota": "quota",
    "credit_balance_too_low": "quota",
    "billing_hard_limit_reached": "quota",
    "contract_spend_limit_reached": "quota",
    "enforced_spend_limit_reached": "quota",
    "rate_limit_error": "rate limit",
    "rate_limit_exceeded": "rate limit",
    "overloaded_error": "unavailable",
    "api_error": "unavailable",
    "server_error": "unavailable",
    "timeout_error": "timeout",
    "invalid_prompt": "refused",
    "content_filter": "refused",
    "content_policy_violation": "refused",
    "bio_policy": "refused",
    "misalignment_policy_violation": "refused",
    "not_found_error": "bad request",
    "invalid_request_error": "bad request",
    "request_too_large": "bad request",
}
_BY_STATUS: dict[int, LLMFaultKind] = {
    401: "authentication",
    402: "quota",
    403: "authentication",
    408: "timeout",
    409: "unavailable",
    425: "unavailable",
    429: "rate limit",
    504: "timeout",
}


class _Watched(httpx2.SyncByteStream):
    """A response's bytes, cut off at a point in time and at `MAX_BYTES`.

    The SDKs' timeout starts anew with every byte, so a server that sends a comment now and then
    would hold a request for ever.
    """

    def __init__(self, stream: httpx2.SyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        num_bytes = 0
        for chunk in self._stream:
            num_bytes += len(chunk)
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer did not end in the time given to it")
            if num_bytes > MAX_BYTES:
                raise LLMFault("garbled", f"the response is longer than {MAX_BYTES} bytes")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def connection(sdk: ModuleType, deadline: float, silent_seconds: float) -> dict[str, Any]:
    """The arguments of a client of `sdk` that asks once and is done by `deadline`.

    deadline: in seconds of the monotonic clock. A redirect is not followed: the key is meant for
    the address that was named.
    """
    left = max(0.001, deadline - time.monotonic())

    def watch(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Watched(response.stream, deadline)

    timeout = httpx2.Timeout(min(silent_seconds, left), connect=min(20.0, left))
    return {
        "max_retries": 0,
        "timeout": timeout,
        "http_client": sdk.DefaultHttpxClient(
            verify=_trust(),
            timeout=timeout,
            follow_redirects=False,
            event_hooks={"response": [watch]},
        ),
    }


@functools.cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than all else of a client."""
    return httpx2.create_ssl_context()


def fault_of(error: Exception, sdk: ModuleType, heard: Heard) -> LLMFault:
    """What an error of `sdk`, or of the HTTP library below it, means to us.

    Raises `error` itself when it is neither: then it is a fault of our own.
    """
    if isinstance(error, LLMFault):
        return error
    if isinstance(error, (sdk.APITimeoutError, httpx2.TimeoutException)):
        return LLMFault("timeout", _words(error))
    if isinstance(error, (sdk.APIConnectionError, httpx2.RequestError)):
        return LLMFault("truncated" if heard.begun else "unavailable", _words(error))
    if isinstance(error, sdk.APIError):
        response = getattr(error, "response", None)
        status = 0 if response is None else response.status_code
        return told_fault(error.body, status, {} if response is None else response.headers)
    if isinstance(error, httpx2.InvalidURL):
        return LLMFault("bad request", _words(error))
    if isinstance(error, ValueError):
        return LLMFault("garbled", f"expected events of JSON, found: {_words(error)}")
    raise error


def told_fault(body: object, status: int = 0, headers: Mapping[str, str] | None = None) -> LLMFault:
    """The fault that a service tells in words: `body` as it came, with its HTTP status, if any."""
    headers = headers or {}
    told = body.get("error", body) if isinstance(body, dict) else body
    names = [str(told.get(key)) for key in ("code", "type")] if isinstance(told, dict) else []
    words = told.get("message") if isinstance(told, dict) else told
    detail = str(words or "the service says no more")[:_MAX_DETAIL]
    kind = _kind(names, status)
    if headers.get("x-should-retry") == "false" and kind in TRANSIENT:
        kind = "bad request"
    if 300 <= status < 400:
        detail = "a redirect, which the key does not follow, to " + headers.get(
            "location", "nowhere"
        )
    numbered = f"HTTP {status}: {detail}" if status >= 300 else detail
    return LLMFault(kind, numbered, retry_after=_retry_after(headers))


def _kind(names: list[str], status: int) -> LLMFaultKind:
    """By a name that says more than that the request was bad; else by the status."""
    named = [_BY_NAME[name] for name in names if name in _BY_NAME]
    for kind in named:
        if kind != "bad request":
            return kind
    if status < 300:
        return "bad request" if named else "unavailable"
    return _BY_STATUS.get(status, "unavailable" if status >= 500 else "bad request")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either header that services use; a date counts from now."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    wish = headers.get("retry-after")
    seconds = _number(wish)
    if seconds is None and wish and (date := email.utils.parsedate_tz(wish)):
        seconds = max(0.0, email.utils.mktime_tz(date) - time.time())
    return seconds


def _number(text: str | None) -> float | None:
    """A finite number that is not negative; None for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _words(error: Exception) -> str:
    """What an error says, or its cause, which says more than `Connection error.`"""
    told = error.__cause__ or error
    return (str(told) or type(told).__name__)[:_MAX_DETAIL]
