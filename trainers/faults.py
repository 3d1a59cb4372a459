"""What a fault of the candidate's process is called outside validation."""

from __future__ import annotations

from agent_sandbox.validator.process_checks import fault_violation
from agent_sandbox.validator.registry import FAULTS
from lra_design.errors import CandidateFault
from lra_design.records import Finding


def fault_finding(fault: CandidateFault, where: str) -> Finding:
    """The finding LRA4xx that `fault` is; `where` names what was being done: `training`."""
    entry = FAULTS[fault.kind]
    return fault_violation(fault, where).finding(entry.id, entry.name)
