"""The audiences of all clients."""

from pathlib import Path

import dagster as dg

from line_ads_pipeline.components import load_audiences


@dg.definitions
def defs() -> dg.Definitions:
    """Everything below `defs/`."""
    return load_audiences(Path(__file__).parent)
