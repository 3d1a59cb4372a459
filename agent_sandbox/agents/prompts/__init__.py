"""What an llm is told: templates as plain files beside this one, and what fills them."""

from agent_sandbox.agents.prompts.rendering import Briefing, render

__all__ = ["Briefing", "render"]
