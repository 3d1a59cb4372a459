"""Templates to HTML, and the two doors that every string of a participant goes through.

What would steer the reader's screen is written out (`visible_text`), then HTML is escaped. A page's
own style and script are the only ones that its security policy lets a browser use, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from leaderboards import table
from leaderboards.human import FLAG_MEANING, comparable_task
from leaderboards.scores import RANKED_SEEDS
from leaderboards.site.attempts import cut
from leaderboards.site.boards import CHART_WIDTH
from leaderboards.site.charts import PLOT_HEIGHT, PLOT_WIDTH, amount, binary, brief_seconds
from leaderboards.site.columns import COLUMNS, known_columns
from leaderboards.site.figures import QUANTITIES
from leaderboards.site.highlighting import highlighted
from leaderboards.site.searches import HEIGHT, WIDTH
from leaderboards.site.tree import RADIUS
from lra_design.visible import visible_text

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **context: Any) -> str:
    """The page that a template of `templates/` makes."""
    return _environment().get_template(template).render(**context).lstrip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
    )
    environment.filters |= {
        "percent": table.percent,
        "signed": table.signed,
        "decimal": table.decimal,
        "published": table.published,
        "interval": table.interval,
        "policy_hash": _policy_hash,
        "amount": amount,
        "binary": binary,
        "brief_seconds": brief_seconds,
        "highlighted": highlighted,
        "beginning": cut,
    }
    environment.globals |= {
        "BUDGET_HEIGHT": HEIGHT,
        "BUDGET_WIDTH": WIDTH,
        "CHART_WIDTH": CHART_WIDTH,
        "COLUMNS": COLUMNS,
        "FLAG_MEANING": FLAG_MEANING,
        "MOST_LINKS": 100,
        "NAME_WIDTH": table.NAME_WIDTH,
        "NOT_COMPARABLE": table.NOT_COMPARABLE,
        "PLOT_HEIGHT": PLOT_HEIGHT,
        "PLOT_WIDTH": PLOT_WIDTH,
        "QUANTITIES": QUANTITIES,
        "RADIUS": RADIUS,
        "RANKED_SEEDS": RANKED_SEEDS,
        "conditions": table.conditions,
        "gap_note": table.gap_note,
        "human_note": table.human_note,
        "known_columns": known_columns,
        "place": table.place,
        "board_title": table.board_title,
        "comparable_task": comparable_task,
    }
    return environment


def _shown(value: Any) -> Any:
    """What the template prints for a value: a dash for a missing one, strings made visible."""
    if value is None:
        return table.MISSING
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible_text(value)
    return value


def _policy_hash(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline style or script."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
