"""The code location: everything in the defs folder."""

from pathlib import Path

import dagster as dg

from line_ads_pipeline.components import load_audiences


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the defs folder."""
    return load_audiences(Path(__file__).parent)
