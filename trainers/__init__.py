"""Training, judging and tuning of the network around a mechanism."""
