"""All that touches untrusted source: isolation, the validator, and the agents that write it."""
