"""Ranks runs: their store, scores with intervals, human results, the table and the page."""
