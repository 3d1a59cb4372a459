"""A server on the loopback that speaks Anthropic's Messages and OpenAI's Responses.

It knows no HTTP library of a client, so it serves the real SDKs, and other programs too. What it
does with each request is said beforehand, in order, by the functions below: `says`, `calls_tool`,
`fails`, `fails_in_stream`, `breaks_off`, `hangs`, `sends`. Once they are used up, it says `Hello.`
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Protocol = Literal["messages", "responses"]
Event = dict[str, Any]
COUNTS = {"uncached": 11, "cache_read": 5, "cache_write": 3, "output": 7, "reasoning": 2}
"""Distinct primes, so that none is taken for another."""


@dataclass
class Request:
    """What came in."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]

    @property
    def protocol(self) -> Protocol:
        return "messages" if self.path.endswith("/messages") else "responses"


Behaviour = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One request and the connection on which it is answered."""

    request: Request
    handler: BaseHTTPRequestHandler
    closing: threading.Event
    """Set when the server is closed: nobody waits any longer."""

    def answer(self, status: int, body: bytes, headers: dict[str, str], kind: str) -> None:
        """The whole response at once."""
        self.handler.send_response(status)
        for name, value in {**headers, "content-type": kind}.items():
            self.handler.send_header(name, value)
        self.handler.send_header("content-length", str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin(self) -> None:
        """The head of a stream of events."""
        self.handler.send_response(200)
        self.handler.send_header("content-type", "text/event-stream")
        self.handler.send_header("transfer-encoding", "chunked")
        self.handler.end_headers()

    def chunk(self, content: bytes) -> None:
        self.handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        self.handler.wfile.flush()

    def events(self, events: Iterable[Event]) -> None:
        for event in events:
            self.chunk(_written(event))

    def end(self) -> None:
        """The proper end of a stream."""
        self.handler.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        """No end: the connection goes."""
        self.handler.close_connection = True


# --- what it can do ------------------------------------------------------------------------------


def says(text: str, *, stop: str | None = None, counts: dict[str, int] | None = None) -> Behaviour:
    """Answer in three pieces; `stop` in the words of the protocol, None for a normal end."""

    def behave(exchange: Exchange) -> None:
        events = list(_answer(exchange.request, text, stop, counts or COUNTS))
        if exchange.request.body.get("stream"):
            exchange.begin()
            exchange.events(events)
            exchange.end()
        else:
            whole = _whole(exchange.request, text, stop, counts or COUNTS)
            exchange.answer(200, json.dumps(whole).encode(), {}, "application/json")

    return behave


def calls_tool(name: str, arguments: dict[str, Any]) -> Behaviour:
    """Answer with the call of a tool, its arguments in two pieces."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        exchange.events(_tool_call(exchange.request, name, json.dumps(arguments)))
        exchange.end()

    return behave


def fails(
    status: int, name: str, message: str = "no", headers: dict[str, str] | None = None
) -> Behaviour:
    """An error in the protocol's own form. `{authorization}` in the message becomes that header."""

    def behave(exchange: Exchange) -> None:
        told = message.format(**exchange.request.headers) if "{" in message else message
        body = json.dumps(_error(exchange.request.protocol, name, told)).encode()
        exchange.answer(status, body, headers or {}, "application/json")

    return behave


def fails_in_stream(name: str, message: str = "no") -> Behaviour:
    """The beginning of an answer, and then an error."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        exchange.events(list(_answer(exchange.request, "lost words", None, COUNTS))[:4])
        if exchange.request.protocol == "messages":
            exchange.events([_error("messages", name, message)])
        else:
            error = {"code": name, "message": message}
            response = _response(exchange.request, "failed", [], None) | {"error": error}
            exchange.events([{"type": "response.failed", "response": response}])
        exchange.end()

    return behave


def breaks_off(num_events: int, *, politely: bool = False) -> Behaviour:
    """The first events of an answer and no more; politely: the stream is ended as if whole."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        answer = _answer(exchange.request, "lost words", None, COUNTS)
        exchange.events(list(answer)[:num_events])
        if politely:
            exchange.end()
        else:
            exchange.break_off()

    return behave


def hangs(*, comments: bool = False) -> Behaviour:
    """The beginning of an answer, then silence, or comments, until the client or the test goes."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        exchange.events(list(_answer(exchange.request, "lost words", None, COUNTS))[:2])
        try:
            while not exchange.closing.wait(0.05):
                if comments:
                    exchange.chunk(b": still here\n\n")
        except OSError:
            pass  # the client has gone
        exchange.break_off()

    return behave


def sends(body: bytes, *, status: int = 200, kind: str = "text/event-stream", **headers: str
) -> Behaviour:  # fmt: skip
    """Anything at all."""

    def behave(exchange: Exchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.answer(status, body, named, kind)

    return behave


def stream(protocol: Protocol, text: str) -> bytes:
    """The bytes of the stream that says `text`, for tests that cut it where they like."""
    request = Request(f"/v1/{protocol}", {}, {})
    return b"".join(map(_written, _answer(request, text, None, COUNTS)))


def _written(event: Event) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


# --- the two protocols ---------------------------------------------------------------------------


def _answer(
    request: Request, text: str, stop: str | None, counts: dict[str, int]
) -> Iterator[Event]:
    third = max(1, -(-len(text) // 3))
    pieces = [text[at : at + third] for at in range(0, len(text), third)]
    if request.protocol == "messages":
        yield from _messages_head(request, counts)
        yield {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        }
        yield {"type": "ping"}
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield from _messages_tail(stop or "end_turn", counts)
        return
    kind = "refusal" if stop == "refusal" else "output_text"
    yield {"type": "response.created", "response": _response(request, "in_progress", [], None)}
    for piece in pieces:
        yield {"type": f"response.{kind}.delta", "delta": piece, "item_id": "m", "output_index": 0}
    yield from _responses_tail(request, text, stop, counts)


def _messages_head(request: Request, counts: dict[str, int]) -> Iterator[Event]:
    usage = _messages_usage(counts) | {"output_tokens": 1}
    usage.pop("output_tokens_details")
    message = _message(request, [], None) | {"usage": usage}
    yield {"type": "message_start", "message": message}


def _messages_tail(stop: str, counts: dict[str, int]) -> Iterator[Event]:
    usage = {
        "output_tokens": counts["output"],
        "output_tokens_details": {"thinking_tokens": counts["reasoning"]},
    }
    yield {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}
    yield {"type": "message_stop"}


def _responses_tail(
    request: Request, text: str, stop: str | None, counts: dict[str, int]
) -> Iterator[Event]:
    cut = stop in ("max_output_tokens", "content_filter")
    status = "incomplete" if cut else "completed"
    content = {"type": "output_text", "text": text, "annotations": []}
    if stop == "refusal":
        content = {"type": "refusal", "refusal": text}
    item = {"type": "message", "id": "m", "role": "assistant", "status": status}
    response = _response(request, status, [item | {"content": [content]}], counts)
    response["incomplete_details"] = {"reason": stop} if cut else None
    yield {"type": f"response.{status}", "response": response}


def _whole(request: Request, text: str, stop: str | None, counts: dict[str, int]) -> dict[str, Any]:
    if request.protocol == "messages":
        block = {"type": "text", "text": text}
        message = _message(request, [block], stop or "end_turn")
        return message | {"usage": _messages_usage(counts)}
    response: dict[str, Any] = list(_responses_tail(request, text, stop, counts))[-1]["response"]
    return response


def _tool_call(request: Request, name: str, arguments: str) -> Iterator[Event]:
    halves = arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]
    if request.protocol == "messages":
        block = {"type": "tool_use", "id": "call_1", "name": name, "input": {}}
        yield from _messages_head(request, COUNTS)
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for half in halves:
            delta = {"type": "input_json_delta", "partial_json": half}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield from _messages_tail("tool_use", COUNTS)
        return
    call = {"type": "function_call", "id": "f", "call_id": "call_1", "name": name}
    begun = call | {"arguments": "", "status": "in_progress"}
    done = call | {"arguments": arguments, "status": "completed"}
    where = {"item_id": "f", "output_index": 0}
    yield {"type": "response.created", "response": _response(request, "in_progress", [], None)}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    for half in halves:
        yield {"type": "response.function_call_arguments.delta", "delta": half, **where}
    yield {"type": "response.function_call_arguments.done", "arguments": arguments, **where}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    response = _response(request, "completed", [done], COUNTS)
    yield {"type": "response.completed", "response": response}


def _message(request: Request, content: list[Any], stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.body.get("model"),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }


def _messages_usage(counts: dict[str, int]) -> dict[str, Any]:
    """Input excludes what passed through the cache."""
    return {
        "input_tokens": counts["uncached"],
        "cache_read_input_tokens": counts["cache_read"],
        "cache_creation_input_tokens": counts["cache_write"],
        "output_tokens": counts["output"],
        "output_tokens_details": {"thinking_tokens": counts["reasoning"]},
    }


def _response(
    request: Request, status: str, output: list[Any], counts: dict[str, int] | None
) -> dict[str, Any]:
    """Input includes what passed through the cache."""
    usage = None
    if counts:
        num_input = counts["uncached"] + counts["cache_read"] + counts["cache_write"]
        usage = {
            "input_tokens": num_input,
            "input_tokens_details": {
                "cached_tokens": counts["cache_read"],
                "cache_write_tokens": counts["cache_write"],
            },
            "output_tokens": counts["output"],
            "output_tokens_details": {"reasoning_tokens": counts["reasoning"]},
            "total_tokens": num_input + counts["output"],
        }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": request.body.get("model"),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def _error(protocol: Protocol, name: str, message: str) -> dict[str, Any]:
    if protocol == "messages":
        return {"type": "error", "error": {"type": name, "message": message}}
    return {"error": {"message": message, "type": name, "param": None, "code": name}}


# --- the server ----------------------------------------------------------------------------------


@dataclass
class FakeLLMServer:
    """Serves from `with` to its end, on a port of its own."""

    behaviours: list[Behaviour] = field(default_factory=list)
    """What is still to come, the next one first."""
    requests: list[Request] = field(default_factory=list)
    """What came in."""

    def __enter__(self) -> FakeLLMServer:
        self._closing = threading.Event()
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fake._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the requests are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`; the OpenAI protocol wants `/v1` behind it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def name(self, kind: str, llm: str = "tester") -> str:
        """What `open_llm` takes for this server."""
        return f"{kind}:{llm}@{self.address}" + ("/v1" if kind == "openai" else "")

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.path, headers, json.loads(content or b"{}"))
        with self._lock:
            self.requests.append(request)
            behaviour = self.behaviours.pop(0) if self.behaviours else says("Hello.")
        if request.path not in ("/v1/messages", "/v1/responses"):
            behaviour = fails(404, "not_found_error", f"no such path: {request.path}")
        try:
            behaviour(Exchange(request, handler, self._closing))
        except ConnectionError:
            handler.close_connection = True
