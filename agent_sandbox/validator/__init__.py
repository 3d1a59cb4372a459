"""Judges candidates: `validate.validate` is the way in, `render.render_report` prints its word."""
