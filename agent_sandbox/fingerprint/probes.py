"""The program in the worker: the validator's own, and a record of the operations of a forward.

It shares a process with untrusted code; the judge reads its record as a list of texts and numbers
that may be false, never as a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves

from agent_sandbox.isolation.protocol import Message
from agent_sandbox.validator.subject import Subject


class Prober(Subject):
    """Mechanisms that are built, called and traced."""

    def graph(self, request: Message) -> Message:
        """The operations of one forward. Values: key; tensors: x.

        Returns `operations`, in the order they ran: name with the arguments that are no tensors,
        and for each tensor argument the number of the operation that made it (-1 the input, -2
        anything made before: a parameter, a buffer).
        """
        x = request.tensors["x"]
        recorder = OperationRecorder(x)
        with torch.no_grad(), recorder:
            self._module(request)(x)
        return Message({"operations": recorder.operations})


class OperationRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While entered, keeps every operation that runs and whose outputs it was given."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[str, list[int]]] = []
        self._makers = {id(x): -1}
        self._alive = [x]  # an id is a tensor's own only as long as it lives

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and keep it."""
        answer = func(*args, **(kwargs or {}))
        leaves, form = tree_flatten((args, dict(kwargs or {})))
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        plain = ["_" if isinstance(leaf, Tensor) else _text(leaf) for leaf in leaves]
        text = f"{func} {','.join(plain)} {form.num_leaves}"
        self.operations.append((text, [self._makers.get(id(t), -2) for t in given]))
        for made in tree_leaves(answer):
            if isinstance(made, Tensor):
                self._makers[id(made)] = len(self.operations) - 1
                self._alive.append(made)
        return answer


def _text(argument: object) -> str:
    """1.0 is 1: which of them stands in a source makes no difference to an operation."""
    integral = isinstance(argument, float) and argument.is_integer()
    return str(int(argument) if integral else argument)  # type: ignore[call-overload]
