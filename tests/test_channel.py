"""The framed channel: what goes in comes out, and nothing else than a ChannelError for the rest."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sandbox.isolation.channel import (
    Channel,
    ChannelClosedError,
    ChannelError,
    ChannelTimeoutError,
    decode,
    encode,
)

HEADER = struct.Struct("<4sIQ")
DTYPES = (
    *(torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the raw socket of the other side."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours, max_json_bytes=101, max_tensor_bytes=1009)
    yield channel, theirs
    channel.close()
    theirs.close()


def frame(text: bytes, body: bytes = b"") -> bytes:
    return HEADER.pack(b"LRA1", len(text), len(body)) + text + body


def soon() -> float:
    return time.monotonic() + 0.3


def parts(values: dict, tensors: dict) -> tuple[bytes, bytes]:
    """What `decode` takes of what `encode` made."""
    head, body = encode(values, tensors)
    return head[HEADER.size :], body


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=7),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner)
    ),
    max_leaves=11,
)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON))
def test_values_come_back_as_they_went(values: dict) -> None:
    assert decode(*parts(values, {})).values == values


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.lists(st.sampled_from([0, 1, 2, 3, 5, 7]), max_size=4),
    st.booleans(),
)
def test_tensors_come_back_as_they_went(
    dtype: torch.dtype, shape: list[int], transposed: bool
) -> None:
    tensor = torch.randint(0, 2, shape).to(dtype)
    if transposed and len(shape) > 1:
        tensor = tensor.transpose(0, -1)
    back = decode(*parts({}, {"x": tensor})).tensors["x"]
    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_views_expanded_and_tied_tensors_are_sent_whole() -> None:
    base_LD = torch.arange(35.0).reshape(5, 7)
    sent = {
        "slice": base_LD[1:4, ::2],
        "expanded": base_LD[:1].expand(3, 7),
        "same": base_LD,
        "again": base_LD,
        "flipped": torch.view_as_real(torch.complex(base_LD, base_LD).conj().resolve_conj()),
        "gradient": torch.nn.Parameter(base_LD.clone()),
    }
    back = decode(*parts({}, sent)).tensors
    assert all(torch.equal(back[name], sent[name]) for name in sent)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=97), st.binary(max_size=97))
def test_random_parts_are_refused_or_understood(text: bytes, body: bytes) -> None:
    with contextlib.suppress(ChannelError):
        decode(text, body)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_tensors_are_refused_or_understood(data: st.DataObject) -> None:
    text, body = parts({}, {"x": torch.ones(3, 5), "mask": torch.ones(7, dtype=torch.bool)})
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(body)))
    with contextlib.suppress(ChannelError):
        decode(text, bytes(damaged[:length]))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=199))
def test_random_bytes_give_a_channel_error(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    channel = Channel(ours)
    with pytest.raises(ChannelError):
        channel.receive(deadline=soon())
    channel.close()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"a": NaN}', id="nan"),
        pytest.param(b'{"a": -Infinity}', id="infinity"),
        pytest.param(b'{"a": 1e999}', id="overflow"),
        pytest.param(b'{"a": 1, "a": 2}', id="duplicate"),
        pytest.param(b'{"a": {"b": 1, "b": 1}}', id="inner-duplicate"),
        pytest.param(b'{"a": "\\ud800"}', id="half-surrogate"),
        pytest.param(b'{"\\udc00": 1}', id="half-surrogate-key"),
        pytest.param(b'{"a": "\xff"}', id="not-utf8"),
        pytest.param(b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", id="deep"),
        pytest.param(b'{"a": ' + b"[" * 100_000, id="very-deep"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="huge-integer"),
        pytest.param(b'{"a": 1} {"b": 2}', id="two"),
    ],
)
def test_bad_json_is_refused(text: bytes) -> None:
    with pytest.raises(ChannelError):
        decode(text, b"")


def tensors_of(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x", id="short"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="long-header"),
        pytest.param(tensors_of([], b""), id="list"),
        pytest.param(
            tensors_of({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
            id="wrong-size",
        ),
        pytest.param(
            tensors_of({"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
            id="unknown-dtype",
        ),
        pytest.param(
            tensors_of({"x": {"dtype": "U8", "shape": [2**62, 8], "data_offsets": [0, 0]}}, b""),
            id="overflow",
        ),
        pytest.param(
            tensors_of({"x": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\x07"),
            id="bool-seven",
        ),
        pytest.param(
            tensors_of(
                {"x": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, b""
            ),
            id="empty-but-huge",
        ),
    ],
)
def test_bad_tensors_are_refused(body: bytes) -> None:
    with pytest.raises(ChannelError):
        decode(b"{}", body)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEADER.pack(b"NOPE", 2, 0) + b"{}", id="magic"),
        pytest.param(HEADER.pack(b"LRA1", 103, 0), id="long-json"),
        pytest.param(HEADER.pack(b"LRA1", 2, 1013) + b"{}", id="long-tensors"),
        pytest.param(HEADER.pack(b"LRA1", 2**32 - 1, 2**64 - 1), id="giant"),
    ],
)
def test_bad_headers_are_refused_before_the_rest_arrives(
    ends: tuple[Channel, socket.socket], data: bytes
) -> None:
    channel, other = ends
    other.sendall(data)
    with pytest.raises(ChannelError) as caught:
        channel.receive(deadline=soon())
    assert not isinstance(caught.value, ChannelTimeoutError)


@pytest.mark.parametrize("size", [0, 3, 16, 17])
def test_a_truncated_frame_is_a_closed_channel(
    ends: tuple[Channel, socket.socket], size: int
) -> None:
    channel, other = ends
    other.sendall(frame(b'{"a": 1}')[:size])
    other.close()
    with pytest.raises(ChannelClosedError):
        channel.receive(deadline=soon())


def test_a_dribbled_frame_does_not_move_the_deadline(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    stop = threading.Event()

    def dribble() -> None:
        for byte in frame(b'{"a": "' + b"x" * 50 + b'"}'):
            if stop.wait(0.05):
                return
            other.send(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    started = time.monotonic()
    with pytest.raises(ChannelTimeoutError):
        channel.receive(deadline=started + 0.3)
    assert time.monotonic() - started < 1
    stop.set()
    thread.join()


def test_a_message_is_not_taken_after_the_deadline(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(frame(b"{}"))
    with pytest.raises(ChannelTimeoutError):
        channel.receive(deadline=time.monotonic() - 1)


def test_a_reader_who_does_not_read_does_not_hang_the_writer(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, _ = ends
    with pytest.raises(ChannelTimeoutError):
        channel.send({}, {"x": torch.zeros(10_000_019, dtype=torch.uint8)}, deadline=soon())


def test_a_large_tensor_passes_between_two_threads() -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = Channel(ours), Channel(theirs)
    tensor = torch.arange(3_000_017)
    thread = threading.Thread(target=sender.send, args=({"n": 5}, {"x": tensor}))
    thread.start()
    message = receiver.receive(deadline=time.monotonic() + 30)
    thread.join()
    assert message.values == {"n": 5}
    assert torch.equal(message.tensors["x"], tensor)
    sender.close()
    receiver.close()


@pytest.mark.parametrize(
    ("values", "tensors"),
    [
        pytest.param({"a": float("nan")}, {}, id="nan"),
        pytest.param({"a": object()}, {}, id="object"),
        pytest.param({"a": "x" * 5_000_011}, {}, id="long"),
        pytest.param({}, {"x": torch.empty(3, device="meta")}, id="meta"),
        pytest.param({}, {"x": torch.eye(3).to_sparse()}, id="sparse"),
        pytest.param({}, {"x": "not a tensor"}, id="no-tensor"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_the_sender(values: dict, tensors: dict) -> None:
    with pytest.raises(ChannelError):
        encode(values, tensors)
