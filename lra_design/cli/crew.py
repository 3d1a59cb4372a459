"""Trainings side by side, which all end when one of them fails or the user interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(BaseException):
    """Ends a thread of a crew that is being ended; not an error of anybody's."""


class Crew:
    """Threads of the judge, each busy with one isolated worker at a time."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="crew")
        self._stopping = threading.Event()

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function` as soon as a thread is free."""
        return self._pool.submit(function, *args, **kwargs)

    def check(self) -> None:
        """Called now and then by what runs in the crew: raises Stopped once the crew is ending."""
        if self._stopping.is_set():
            raise Stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
