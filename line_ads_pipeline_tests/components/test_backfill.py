"""Of the run dates of a backfill only the newest is sent, in whatever order Dagster runs them."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import freeze_time

DAYS = (21, 22, 23)
AUDIENCE = dg.AssetKey(["vip", "line_custom_audience"])


@pytest.fixture
def hashed(project):
    """Snapshots of three run dates, of which none was sent; each day one person has left."""
    for day in DAYS:
        project.customers(*(f"person{number}@example.com" for number in range(day - 20, 10)))
        hashing = project.run(
            "source_segment", "hashed_identifiers", run_date=f"2026-11-{day}", now=project.noon(day)
        )
        assert hashing.success
    return project


def start_backfill(project, days: Mapping[dg.AssetKey, Sequence[int]]) -> dict[str, str]:
    """Start a backfill of these days of each asset, as the UI does; the tags of its runs."""
    partitions = next(asset.partitions_def for asset in project.definitions().assets)
    with freeze_time(project.noon(23)):
        subsets = {
            key: partitions.subset_with_partition_keys([f"2026-11-{day}" for day in of_key])
            for key, of_key in days.items()
        }
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id="backfill-of-a-test",
        backfill_timestamp=project.noon(23).timestamp(),
        tags={},
        dynamic_partitions_store=project.instance,
        asset_graph_subset=AssetGraphSubset(partitions_subsets_by_asset_key=subsets),
        title=None,
        description=None,
        run_config=None,
    )
    return put_down(project, backfill)


def start_job_backfill(project, *days: int) -> dict[str, str]:
    """Start a backfill of the audience's job; the tags of its runs."""
    backfill = PartitionBackfill(
        backfill_id="backfill-of-a-test",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=project.noon(23).timestamp(),
        partition_names=[f"2026-11-{day}" for day in days],
    )
    return put_down(project, backfill)


def put_down(project, backfill: PartitionBackfill) -> dict[str, str]:
    project.instance.add_backfill(backfill)
    return {"dagster/backfill": backfill.backfill_id}


def send(project, day: int, tags: Mapping[str, str], **config: object):
    return project.run(
        "line_custom_audience",
        run_date=f"2026-11-{day}",
        now=project.noon(23),
        tags=tags,
        config={"line_custom_audience": config},
    )


def is_sent(result) -> bool:
    assert result.success
    return bool(result.asset_materializations_for_node("vip__line_custom_audience"))


def uploads(project) -> int:
    return sum(request.call == "upload" for request in project.simulator.requests)


@pytest.mark.parametrize(
    "order", [DAYS, DAYS[::-1], (22, 23, 21)], ids=["oldest first", "newest first", "mixed"]
)
def test_only_the_newest_run_date_is_sent_in_any_order(hashed, order):
    tags = start_backfill(hashed, {AUDIENCE: DAYS})

    sent = [day for day in order if is_sent(send(hashed, day, tags))]

    assert sent == [23]
    assert uploads(hashed) == 1
    assert len(hashed.members()) == 7


def test_the_others_say_which_run_date_is_sent_and_ask_nobody(hashed):
    result = send(hashed, 21, start_backfill(hashed, {AUDIENCE: DAYS}))

    assert not is_sent(result)
    (said,) = hashed.warned(result)
    assert said == (
        "vip: nothing is materialised: of the run dates of this backfill only the newest, 2026-11-23, is sent; "
        "2026-11-21 is not."
    )
    assert not hashed.simulator.requests
    assert not result.get_asset_check_evaluations()


def test_a_backfill_of_the_job_is_no_different(hashed):
    tags = start_job_backfill(hashed, *DAYS)

    assert [day for day in DAYS if is_sent(send(hashed, day, tags))] == [23]
    assert uploads(hashed) == 1


def test_run_dates_that_were_skipped_over_count_for_nothing(hashed):
    """The newest one of the backfill, not of the audience."""
    tags = start_backfill(hashed, {AUDIENCE: (21, 22)})

    assert [day for day in (21, 22) if is_sent(send(hashed, day, tags))] == [22]


def test_a_backfill_of_one_run_date_sends_it(hashed):
    assert is_sent(send(hashed, 22, start_backfill(hashed, {AUDIENCE: (22,)})))


def test_run_dates_of_other_assets_in_the_backfill_do_not_count(hashed):
    """Nor need they be of this code location."""
    others = {dg.AssetKey(["vip", "hashed_identifiers"]): DAYS, dg.AssetKey(["marts", "orders"]): DAYS}

    assert is_sent(send(hashed, 22, start_backfill(hashed, {AUDIENCE: (21, 22)} | others)))


def test_a_rollback_over_several_run_dates_goes_back_to_the_newest_of_them(hashed):
    assert is_sent(send(hashed, 23, {}))
    tags = start_backfill(hashed, {AUDIENCE: (21, 22)})

    sent = [day for day in (21, 22) if is_sent(send(hashed, day, tags, rollback=True))]

    assert sent == [22]
    assert len(hashed.members()) == 8


def test_a_run_whose_backfill_was_deleted_is_a_run_of_its_own(hashed):
    assert is_sent(send(hashed, 22, {"dagster/backfill": "long-gone"}))


def test_whole_runs_of_a_backfill_hash_every_run_date_and_send_the_newest(hashed):
    tags = start_backfill(
        hashed,
        {
            dg.AssetKey(["vip", name]): DAYS
            for name in ("source_segment", "hashed_identifiers", "line_custom_audience")
        },
    )

    for day in DAYS:
        result = hashed.run(run_date=f"2026-11-{day}", now=hashed.noon(23), tags=tags)
        assert result.success
        assert result.asset_materializations_for_node("vip__hashed_identifiers")
        assert is_sent(result) == (day == 23)
