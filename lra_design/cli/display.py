"""Progress for people: bars with the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from lra_design.visible import visible_text

if TYPE_CHECKING:
    from trainers.training import Progress as TrainingProgress

LINE_EVERY_SECONDS = 10.0
"""Between two progress lines where there is no terminal."""
TELLING_SHARE = 0.05
"""Of a stage, before which its speed says nothing about the rest."""


class Display:
    """Prints what happens, from any thread, to stderr; stdout is for results."""

    live: bool
    """Whether there is a terminal that bars can be drawn on."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._bars = Progress(
            _text("{task.description}", width=30),
            BarColumn(bar_width=10),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            _text("{task.fields[note]}", width=40),
            console=self.console,
            transient=True,
        )

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Keep the bars on the screen while the block runs."""
        if not self.live:
            yield
            return
        with self._bars:
            yield

    def say(self, text: str = "") -> None:
        """One or more lines, above the bars."""
        self.console.print(visible_text(text), markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stage]:
        """A bar over everything that a stage trains: `total` is its number of steps."""
        self.say(f"\n{title}")
        bar = self._bars.add_task(title, total=total, note="")
        try:
            yield Stage(self, self._bars, bar, total)
        finally:
            self._bars.remove_task(bar)


class Stage:
    """A part of a command that has a length: some trainings, possibly side by side."""

    def __init__(self, display: Display, bars: Progress, bar: TaskID, total: int) -> None:
        self._display = display
        self._bars = bars
        self._bar = bar
        self._total = total
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()
        self._started = self._last_line = time.monotonic()

    def watch(self, label: str) -> Callable[[TrainingProgress], None]:
        """What a training calls as it goes; `label` names it."""
        shown = visible_text(f"  {label}")
        bar = self._bars.add_task(shown, total=1, note="", visible=False)

        def update(progress: TrainingProgress) -> None:
            self._bars.update(
                bar,
                total=progress.num_steps,
                completed=progress.step,
                note=_note(progress),
                visible=progress.step < progress.num_steps,
            )
            self.advance(label, progress.step, f"{label} {_note(progress)}")

        return update

    def complete(self, label: str, num_steps: int) -> None:
        """`label` needs no further steps of its `num_steps`: it has ended, or will not begin."""
        self.advance(label, num_steps, f"{label} done")

    def advance(self, label: str, step: int, note: str) -> None:
        """`label` has come to `step`; shows it, as a line now and then where there are no bars."""
        with self._lock:
            self._done[label] = max(step, self._done.get(label, 0))
            done = sum(self._done.values())
            self._bars.update(self._bar, completed=done)
            now = time.monotonic()
            if self._display.live or now - self._last_line < LINE_EVERY_SECONDS:
                return
            self._last_line = now
        share = min(100, 100 * done // self._total)
        self._display.say(f"  {share:3d} %  {self._left(done, now)}{note}")

    def _left(self, done: int, now: float) -> str:
        """The time left, once what is done tells: the first steps compile and load."""
        if done < TELLING_SHARE * self._total:
            return ""
        seconds = (now - self._started) * (self._total - done) / done
        return f"about {seconds:.0f} s left  "


def _text(template: str, *, width: int) -> TextColumn:
    """A column for text that a stranger may have chosen: no markup, one line, cut to `width`."""
    column = Column(max_width=width, no_wrap=True, overflow="ellipsis")
    return TextColumn(template, markup=False, table_column=column)


def _note(progress: TrainingProgress) -> str:
    accuracy = "" if progress.accuracy is None else f"  val. {100 * progress.accuracy:.1f} %"
    return f"step {progress.step}/{progress.num_steps}  loss {progress.loss:.3f}{accuracy}"
