"""Dagster components of line-ads-pipeline."""

from line_ads_pipeline.components.errors import AudienceFileError
from line_ads_pipeline.components.line_audience import LineAudience
from line_ads_pipeline.components.project import load_audiences

__all__ = ["AudienceFileError", "LineAudience", "load_audiences"]
