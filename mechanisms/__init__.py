"""Reference mechanisms: one a file, each valid under the same checks as a candidate."""
