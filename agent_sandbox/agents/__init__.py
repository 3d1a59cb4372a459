"""The agents: what writes candidates, the search policies, the journal."""
