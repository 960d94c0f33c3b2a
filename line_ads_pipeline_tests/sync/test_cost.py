"""What a sync costs in requests, when LINE's jobs are instant."""

import pytest

from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords, Patience

ACCOUNT = "A10000000001"
STRICT = {"min_identifiers": 1, "max_shrink": 0.5, "max_skipped": 0.5}


@pytest.mark.parametrize("mode", ["mirror", "add"])
@pytest.mark.parametrize(
    ("audience", "besides"), [("new", 2), ("known", 3), ("adopted", 3), ("by id", 3), ("of a lost store", 4)]
)
def test_a_sync_costs_two_requests_a_chunk_and_a_few(
    simulator, sync, synchroniser, snapshot_of, bring, tmp_path, audience, besides, mode
):
    """Search, look for jobs and list once more; and who lost the store looks first whose the audience is."""
    people, chunks = range(8), 3
    how = {}
    if audience in {"known", "of a lost store"}:
        sync(people, mode=mode, partition="2026-11-20")
    if audience == "of a lost store":
        fresh = Store(tmp_path / "fresh")
        how = {"records": AudienceRecords(fresh, "vip")}
    if audience in {"adopted", "by id"}:
        theirs = simulator.add_audience(ACCOUNT, name="VIP customers")
        how = {"adopt": True} if audience == "adopted" else {"audience_id": theirs}
    before = len(simulator.requests)

    snapshot = snapshot_of(people, into=fresh) if audience == "of a lost store" else snapshot_of(people)
    bring(synchroniser(mode=mode, **STRICT, **how), snapshot, partition="2026-11-21")

    assert len(simulator.requests) - before == chunks * 2 + besides


def test_a_run_that_does_not_wait_for_the_last_chunk_saves_the_look_at_its_job(simulator, sync):
    sync(range(8), partition="2026-11-20")
    before = len(simulator.requests)

    sync(range(8), wait_for_processing=False)

    assert len(simulator.requests) - before == 3 * 2 + 3 - 1


def test_looks_at_a_job_get_rarer(simulator, sync):
    simulator.inject(Fault(call="upload", job_polls=20))
    pauses = []

    sync(range(3), sleep=pauses.append)

    assert pauses == pytest.approx([min(1.5**look, 300) for look in range(20)])


def test_a_job_that_takes_a_day_costs_a_few_hundred_looks():
    """A second apart at first, five minutes at last."""
    pauses = list(Patience().pauses(24 * 3600))

    assert sum(pauses) == 24 * 3600
    assert pauses[0] == 1
    assert max(pauses) == 300
    assert len(pauses) < 310
