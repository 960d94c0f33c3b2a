"""Raw identifiers made ready for LINE: normalised, validated and hashed, by a lazy plan that streams."""

from line_ads_pipeline.identifiers.identify import identify, new_threads
from line_ads_pipeline.identifiers.outcomes import OUTCOMES, SKIP_REASONS
from line_ads_pipeline.identifiers.rules import EmailRules, IfaRules, PhoneRules, Rules
from line_ads_pipeline.identifiers.text import UnsupportedIdentifierColumn

__all__ = [
    "OUTCOMES",
    "SKIP_REASONS",
    "EmailRules",
    "IfaRules",
    "PhoneRules",
    "Rules",
    "UnsupportedIdentifierColumn",
    "identify",
    "new_threads",
]
