"""Processes that are killed for real, wherever it hurts, never cost the exact membership."""

from collections import Counter

import pytest

from line_ads_pipeline_tests.kills.report import Report
from line_ads_pipeline_tests.kills.soak import soak


def test_syncs_that_are_killed_in_every_window_end_exactly(tmp_path):
    report = soak(tmp_path, seed=3, kills=24, syncs=8, audiences=8)

    assert not report.violations, "\n".join(report.violations)
    assert report.windows.total() == 24
    for window in ("before the request", "accepted, not answered", "answered, not written down"):
        assert report.windows[window] >= 5, report.windows
    assert report.faults.total() >= 5
    assert report.cut.total() == 12
    for mode in ("mirror", "add"):
        assert report.kinds[f"{mode}: additions only"] >= 2, report.kinds


@pytest.mark.parametrize(
    ("cut", "lacking"),
    [
        ({"add: additions only, the first chunk": 1, "mirror: additions only, a later chunk": 1}, []),
        ({"add: additions only, a later chunk": 1, "mirror: full replace, the first chunk": 1}, ["mirror"]),
        ({}, ["add", "mirror"]),
    ],
    ids=["both", "one", "none"],
)
def test_a_soak_that_killed_no_increments_where_they_were_wanted_fails(cut, lacking):
    report = Report(cut=Counter(cut))

    report.blame_lack_of_increments({"mirror", "add"})

    assert [violation.partition(" was killed")[0] for violation in report.violations] == [
        f"no increment of mode {mode}" for mode in lacking
    ]
