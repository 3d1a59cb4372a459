"""Every task there is, by its id."""

from __future__ import annotations

from lra_design.errors import unknown_name
from tasks.copying import COPYING
from tasks.delay import DELAY_PROBE
from tasks.listops import LISTOPS, LISTOPS_MINI
from tasks.recall import RECALL
from tasks.task import Task

TASKS: dict[str, Task] = {
    "listops-v1": LISTOPS,
    "listops-mini": LISTOPS_MINI,
    "recall-probe": RECALL,
    "copying-probe": COPYING,
    "delay-probe": DELAY_PROBE,
}


def get_task(id: str) -> Task:
    """The task of that id. Raises UsageError naming the nearest id when there is none."""
    if id not in TASKS:
        raise unknown_name("task", id, TASKS)
    return TASKS[id]
