"""Opening the executor that a caller names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from lra_design.errors import UsageError, unknown_name
from trainers.executors.local import LocalExecutor
from trainers.executors.protocol import Executor

Options = Mapping[str, str]


def open_executor(address: str, num_jobs: int) -> Executor:
    """The executor at `address`, to be closed by the caller.

    local               processes of this machine, num_jobs at a time
    local?cards=0,1     a process for each of these GPUs
    ray                 the Ray cluster that RAY_ADDRESS names, or one of this machine alone
    ray://host:10001    another one; ray?cpus=2&gpus=1: what each job needs
    slurm?partition=p   batch jobs; see `trainers.executors.slurm.SlurmOptions` for the rest

    Raises UsageError for an address that is none, HarnessError for one that cannot be reached.
    """
    parts = urlsplit(address)
    name = parts.scheme or parts.path
    if name not in _OPENERS:
        raise unknown_name("executor", name, _OPENERS)
    opener, known = _OPENERS[name]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for option in options:
        if option not in known:
            raise unknown_name(f"option of the executor {name}", option, known)
    return opener(parts.netloc, options, num_jobs)


def _open_local(host: str, options: Options, num_jobs: int) -> Executor:
    cards = [card for card in options.get("cards", "").split(",") if card]
    if "cards" in options and not all(card.isdecimal() for card in cards or [""]):
        raise UsageError(
            f"cards={options['cards']} names no GPUs: expected their numbers, as in cards=0,1."
        )
    return LocalExecutor(num_jobs, cards)


def _open_ray(host: str, options: Options, num_jobs: int) -> Executor:
    from trainers.executors.on_ray import RayExecutor

    needs = {name: _number(name, options.get(name, default)) for name, default in _RAY.items()}
    address = f"ray://{host}" if host else options.get("address")
    return RayExecutor(address, num_cpus=needs["cpus"], num_gpus=needs["gpus"])


def _open_slurm(host: str, options: Options, num_jobs: int) -> Executor:
    from trainers.executors.slurm import SlurmExecutor, slurm_options

    return SlurmExecutor(slurm_options(dict(options)))


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise UsageError(f"{name}={text}: expected a number, as in {name}=1.")
    return number


_RAY = {"cpus": "1", "gpus": "0"}
_SLURM = ("partition", "account", "qos", "cpus", "gpus", "memory", "minutes", "requeues", "cluster")
Opener = Callable[[str, Options, int], Executor]
_OPENERS: dict[str, tuple[Opener, tuple[str, ...]]] = {
    "local": (_open_local, ("cards",)),
    "ray": (_open_ray, (*_RAY, "address")),
    "slurm": (_open_slurm, _SLURM),
}
