"""Judges candidates: `validate` is the way in, `render_report` makes its answer readable."""

from agent_sandbox.validator.examination import Patience
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import validate

__all__ = ["Patience", "render_report", "validate"]
