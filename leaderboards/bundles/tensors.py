"""Whether a safetensors file is what it says, by its header alone.

Eight bytes with the header's length, the header as JSON, then the tensors one after the other.
(https://huggingface.co/docs/safetensors, "Format")
"""

from __future__ import annotations

import json
import math
from typing import Any

from lra_design.errors import RecordError

MAX_HEADER = 2**20 - 8
_WIDTHS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_WIDTHS |= {"U8": 1, "BOOL": 1, "C64": 8}


def header_length(first: bytes) -> int:
    """Bytes of the header, from the first eight of the file. Raises RecordError."""
    length = int.from_bytes(first[:8], "little")
    if len(first) < 8 or not 2 <= length <= MAX_HEADER:
        raise RecordError(f"a header should have 2 to {MAX_HEADER} bytes, found {length}")
    return length


def check_header(header: bytes, num_data_bytes: int) -> None:
    """Raise RecordError unless the tensors of the header fill the data exactly."""
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        spans = sorted(_span(tensor) for tensor in tensors.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise RecordError("no header of tensors") from None
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise RecordError("its tensors overlap, or leave room between them")
        end = stop
    if end != num_data_bytes:
        raise RecordError(f"its tensors take {end} bytes, found {num_data_bytes}")


def _span(tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends in the data."""
    begin, end = tensor["data_offsets"]
    shape = tensor["shape"]
    sizes = [begin, end, *shape]
    if not all(type(size) is int and 0 <= size < 2**40 for size in sizes) or len(shape) > 16:
        raise ValueError("a size that no tensor has")
    if end - begin != _WIDTHS[tensor["dtype"]] * math.prod(shape):
        raise ValueError("a tensor of another size")
    return begin, end
