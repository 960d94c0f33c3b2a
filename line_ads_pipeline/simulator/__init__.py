"""The LINE Ads API on localhost: what it documents, enforced, and faults on request.

The real API is open to approved partners only, and forbids load tests and requests for ids that do not exist.
"""

from line_ads_pipeline.simulator.faults import Fault
from line_ads_pipeline.simulator.loopback import PortInUseError
from line_ads_pipeline.simulator.server import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator, run_simulator

__all__ = ["DEMO_ACCESS_KEY", "DEMO_SECRET_KEY", "Fault", "PortInUseError", "Simulator", "run_simulator"]
