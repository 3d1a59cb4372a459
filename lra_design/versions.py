"""What computes a record here and now."""

from __future__ import annotations

import platform

import torch

from lra_design import __version__
from lra_design.interface import CONTRACT_VERSION
from lra_design.records import Versions


def current_versions() -> Versions:
    """The versions that the numbers of a record can depend on."""
    return Versions(
        lra_design=__version__,
        contract=CONTRACT_VERSION,
        python=platform.python_version(),
        torch=str(torch.__version__),
    )
