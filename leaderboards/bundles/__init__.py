"""Submission bundles: one entry with all its seeds in one file that anybody can verify.

Reading one runs nothing of it. `layout` says what is in it, docs/submitting.md how to use it.
"""
