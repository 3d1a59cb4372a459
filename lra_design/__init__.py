"""A benchmark for agent-written attention mechanisms on the Long Range Arena.

`Mechanism` and `MechanismConfig` are loaded on first use, so that importing this package (as the
command line does) does not import torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lra_design.interface import Mechanism, MechanismConfig

__version__ = "0.1.0"
__all__ = ["Mechanism", "MechanismConfig", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("Mechanism", "MechanismConfig"):
        from lra_design import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'lra_design' has no attribute {name!r}")
