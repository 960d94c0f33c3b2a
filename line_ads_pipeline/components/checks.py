"""The asset checks of `line_custom_audience`: what a sync found before and after it sent anything."""

from collections.abc import Collection, Iterable, Iterator

import dagster as dg

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.sync import Finding

_OF_BOTH_MODES = {
    "destination": "It is the audience of the last sync.",
    "hold": "The audience is not held at an earlier run date.",
    "unfinished_sync": "No earlier sync was given up.",
    "min_identifiers": "Enough valid identifiers are there.",
}
_OF_MIRRORS = {
    "max_shrink": "Not too many members leave at once.",
    "max_skipped": "Most values are valid identifiers.",
    "foreign_uploads": "Nobody else uploads to the audience.",
}
_OF_THE_END = {"confirmation": "LINE processed as many identifiers as were sent."}


def check_specs(audience: Audience, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks, and what each asks."""
    of_mode = _OF_MIRRORS if audience.destination.sync_mode == "mirror" else {}
    return [
        dg.AssetCheckSpec(name, asset=asset, description=description)
        for name, description in (_OF_BOTH_MODES | of_mode | _OF_THE_END).items()
    ]


def check_results(findings: Iterable[Finding], wanted: Collection[str]) -> Iterator[dg.AssetCheckResult]:
    """The findings as Dagster shows them, of the checks that the run was asked for."""
    for finding in findings:
        if finding.check in wanted:
            yield dg.AssetCheckResult(
                check_name=finding.check,
                passed=finding.verdict == "passed",
                severity=dg.AssetCheckSeverity.ERROR
                if finding.verdict == "stopped"
                else dg.AssetCheckSeverity.WARN,
                description=finding.message,
                metadata=dict(finding.numbers),
            )
