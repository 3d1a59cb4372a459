"""The command line: a sub-command for each part of the way of the data."""
