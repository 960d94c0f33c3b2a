"""Processes that are killed for real, wherever it hurts, never cost the exact membership."""

from line_ads_pipeline_tests.kills.soak import soak


def test_syncs_that_are_killed_in_every_window_end_exactly(tmp_path):
    report = soak(tmp_path, seed=3, kills=27, syncs=8, audiences=8)

    assert not report.violations, "\n".join(report.violations)
    assert report.windows.total() == 27
    for window in ("before the request", "accepted, not answered", "answered, not written down"):
        assert report.windows[window] >= 5, report.windows
    assert report.faults.total() >= 5
