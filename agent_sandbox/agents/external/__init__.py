"""Agents that are programs of others: a workspace, a desk to ask at, and a process of their own."""
