"""The tasks: what is learnt, and where its data comes from."""
