"""What a reply cost in US dollars, by a dated table of prices; unknown is None, never 0."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from agent_sandbox.agents.llm.protocol import Reply, TokenUsage
from lra_design.errors import RecordError, UsageError
from lra_design.records.serialised import from_json, record

PRICES_VARIABLE = "LRA_DESIGN_PRICES"
"""The environment variable that names a file of further prices."""


@record
class Rates:
    """US dollars for a million tokens of each kind. None: not known."""

    uncached: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None

    def cost(self, usage: TokenUsage) -> float | None:
        """US dollars; None when tokens were used whose price is not known."""
        total = 0.0
        for num_tokens, rate in (
            (usage.uncached, self.uncached),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
        ):
            if num_tokens and rate is None:
                return None
            total += num_tokens * (rate or 0.0) / 1e6
        return total


@record
class Price:
    """The list price of one llm."""

    names: tuple[str, ...]
    """As `open_llm` takes them."""
    source: str
    """Where the price stands."""
    checked: str
    """The day on which it stood there, `2026-11-21`."""
    rates: Rates
    long_input: int | None = None
    """A request with more input tokens than this has the prices `long`."""
    long: Rates | None = None

    def cost(self, reply: Reply, usage: TokenUsage) -> float | None:
        """US dollars; None when a part is not known.

        Usage is the sum over all requests of a reply, so that of several nobody can say whether
        one of them alone was long.
        """
        num_input = usage.total - usage.output
        if self.long_input is None or num_input <= self.long_input:
            return self.rates.cost(usage)
        return self.long.cost(usage) if self.long and reply.num_requests == 1 else None


PriceTable = dict[str, Price]
"""Prices by the name of the llm."""


def price_table(path: Path | None = None) -> PriceTable:
    """The prices shipped with the benchmark, and over them those of `path`.

    Without `path`, those of the file that `LRA_DESIGN_PRICES` names, if any. Raises UsageError when
    the file cannot be read, and RecordError naming the entry that is wrong.
    """
    chosen = path or (Path(named) if (named := os.environ.get(PRICES_VARIABLE)) else None)
    table = _read(Path(__file__).with_name("prices.toml"))
    return table | _read(chosen) if chosen else table


def cost(reply: Reply, table: PriceTable | None = None) -> float | None:
    """US dollars by `table`, or by `price_table()`; None when usage or price is not known.

    A list price: discounts and taxes of an account are not in it.
    """
    price = (price_table() if table is None else table).get(reply.llm)
    return price.cost(reply, reply.usage) if price and reply.usage else None


def _read(path: Path) -> PriceTable:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"expected a table of prices in {path}, found: {error}") from None
    entries = content.pop("price", None)
    if not isinstance(entries, list) or content:
        raise RecordError(f"{path}: expected entries [[price]] and nothing else. See docs/llms.md.")
    return {
        name: price
        for number, entry in enumerate(entries, start=1)
        for price in [_price(entry, f"price {number} of {path}")]
        for name in price.names
    }


def _price(entry: object, where: str) -> Price:
    try:
        price = from_json(Price, json.dumps(entry, default=str))
    except (RecordError, ValueError) as error:
        raise RecordError(f"{where}: {error}. See docs/llms.md.") from None
    rates = [price.rates, *([price.long] if price.long else [])]
    numbers = [number for rate in rates for number in vars(rate).values() if number is not None]
    if min(numbers) < 0:
        raise RecordError(f"{where}: expected no price below 0, found {min(numbers)}.")
    return price
