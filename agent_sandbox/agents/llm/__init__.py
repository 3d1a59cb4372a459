"""The llms that write candidates: services on the network, recorded answers, scripts."""

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.opening import open_llm
from agent_sandbox.agents.llm.protocol import LLM, Prompt, Reply, TokenUsage, Turn

__all__ = ["LLM", "LLMFault", "Prompt", "Reply", "TokenUsage", "Turn", "open_llm"]
