"""Tuning: an Optuna study over the recipe and the mechanism's own search space.

`space` says what is searched, `sampling` in which order and what is pruned, `storage` where a study
is kept, `reaper` what becomes of trials whose process died, `ledger` what is written down of it
all, `study` runs the trials, and `winner` trains the best one again.
"""
