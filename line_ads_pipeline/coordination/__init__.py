"""Leases and a request rate that processes share, on one machine or on several."""

from line_ads_pipeline.coordination.coordination import Coordination
from line_ads_pipeline.coordination.errors import (
    CoordinationError,
    CoordinationUnavailable,
    LeaseHeld,
    LeaseLost,
    Overtaken,
)
from line_ads_pipeline.coordination.leases import Lease
from line_ads_pipeline.coordination.pace import SharedPace

__all__ = [
    "Coordination",
    "CoordinationError",
    "CoordinationUnavailable",
    "Lease",
    "LeaseHeld",
    "LeaseLost",
    "Overtaken",
    "SharedPace",
]
