"""The values that cross the borders between the parts, each of which serialises to JSON."""

from lra_design.records.attempts import (
    Attempt,
    Feedback,
    Proposal,
)
from lra_design.records.budgets import (
    NOTHING,
    PRESETS,
    Budget,
    Spending,
)
from lra_design.records.configs import (
    HostConfig,
    TrainConfig,
)
from lra_design.records.isolation import (
    Device,
    Hardware,
    IsolationRecord,
    Level,
    Limits,
    Profile,
    Usage,
    Versions,
)
from lra_design.records.runs import (
    Divergence,
    GroupScore,
    Point,
    Run,
    Score,
)
from lra_design.records.serialised import (
    Scalar,
    from_json,
    record,
    to_json,
)
from lra_design.records.tuning import (
    Trial,
    Tuning,
    TuningProtocol,
)
from lra_design.records.validation import (
    CheckRun,
    Exponent,
    Finding,
    Quantity,
    Scaling,
    ScalingPoint,
    Tier,
    ValidationReport,
)

__all__ = [
    "NOTHING",
    "PRESETS",
    "Attempt",
    "Budget",
    "CheckRun",
    "Device",
    "Divergence",
    "Exponent",
    "Feedback",
    "Finding",
    "GroupScore",
    "Hardware",
    "HostConfig",
    "IsolationRecord",
    "Level",
    "Limits",
    "Point",
    "Profile",
    "Proposal",
    "Quantity",
    "Run",
    "Scalar",
    "Scaling",
    "ScalingPoint",
    "Score",
    "Spending",
    "Tier",
    "TrainConfig",
    "Trial",
    "Tuning",
    "TuningProtocol",
    "Usage",
    "ValidationReport",
    "Versions",
    "from_json",
    "record",
    "to_json",
]
