"""The three assets of an audience, materialised by Dagster against a real DuckDB file and the simulator."""

import hashlib
import logging
import os
import stat
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from line_ads_pipeline.components import AudienceFileError
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.warehouse import Warehouse, WarehouseBusy

ACCOUNT = "A10000000001"
TODAY = "2026-11-21"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def failure(result) -> str:
    """What the user reads of the step that failed."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error.message


def changed_nothing(simulator) -> bool:
    return all(request.method == "GET" for request in simulator.requests)


def test_an_audience_holds_exactly_the_valid_identifiers(project, simulator):
    result = project.run()

    (audience,) = simulator.audiences()
    assert result.success
    assert simulator.members(audience.id) == {sha256("taro@example.com"), sha256("hanako@example.co.jp")}
    assert not simulator.broken_rules


def test_materialisations_count_what_became_of_the_rows(project, simulator):
    project.customers(
        "Taro@Example.com ", "taro@example.com", "nobody", "", None, sha256("x@example.com").upper()
    )
    result = project.run()

    assert project.metadata(result, "source_segment")["dagster/row_count"] == 6
    assert project.metadata(result, "source_segment")["nulls"] == 1
    hashed = project.metadata(result, "hashed_identifiers")
    assert datetime.now(UTC).timestamp() - hashed.pop("hashed_at") < 3600
    assert len(hashed.pop("snapshot")) == 64
    assert hashed == {
        "rows": 6,
        "identifiers": 2,
        "already_hashed": 1,
        "duplicates": 1,
        "skipped": 3,
        "skipped_null": 1,
        "skipped_blank": 1,
        "skipped_not_an_email_address": 1,
    }
    sent = project.metadata(result, "line_custom_audience")
    (audience,) = simulator.audiences()
    assert sent | {"sync_id": None} == {
        "audience_id": audience.id,
        "audience_name": "VIP customers",
        "sync": "full replace",
        "identifiers_sent": 2,
        "members": 2,
        "identifiers_processed": 2,
        "chunks": 1,
        "bytes": 130,
        "status": "READY",
        "estimated_size_as_shown": "100 or fewer",
        "audience_was_created": True,
        "sync_was_resumed": False,
        "confirmed": True,
        "sync_id": None,
        "source_state": {"version": None, "upstream": {}},
    }


class TestOptOuts:
    """`source.exclude`: people who are never sent."""

    def test_they_are_left_out_however_they_are_written(self, project):
        project.customers("taro@example.com", "HANAKO@example.co.jp ", "jiro@example.com", None)
        project.execute("CREATE TABLE opted_out (address VARCHAR)")
        hashed = sha256("jiro@example.com").upper()
        project.execute(
            f"INSERT INTO opted_out VALUES ('Hanako@Example.co.jp'), ('{hashed}'), ('x@y.example'), (NULL)"
        )
        project.attributes["source"]["exclude"] = {"table": "opted_out", "column": "address"}

        result = project.run()

        assert result.success
        assert project.members() == {sha256("taro@example.com")}
        assert project.metadata(result, "source_segment")["opt_outs"] == 4
        counted = project.metadata(result, "hashed_identifiers")
        assert {
            name: counted[name] for name in ("rows", "identifiers", "held_back", "opt_outs", "skipped")
        } == {
            "rows": 4,
            "identifiers": 1,
            "held_back": 2,
            "opt_outs": 4,
            "skipped": 1,
        }

    def test_a_mirror_takes_them_out_of_the_audience(self, project):
        project.sync("taro@example.com", "hanako@example.co.jp", "jiro@example.com", day=20)
        (project.folder / "out.csv").write_text("email\njiro@example.com\n")
        project.attributes["source"]["exclude"] = {"path": str(project.folder / "out.csv")}

        assert project.sync(day=21).success
        assert project.members() == {sha256("taro@example.com"), sha256("hanako@example.co.jp")}

    def test_nobody_has_to_have_opted_out(self, project):
        project.execute("CREATE TABLE opted_out (email VARCHAR)")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        result = project.run()
        assert result.success
        assert project.metadata(result, "hashed_identifiers")["held_back"] == 0

    @pytest.mark.parametrize(
        ("exclude", "words"),
        [
            ({"table": "optedout"}, ["optedout", "opted_out"]),
            ({"table": "opted_out", "column": "mail"}, ["mail", "email"]),
            (
                {"table": "opted_out", "column": "id"},
                ["none of the 3 rows", "column id", "type email", "source.exclude"],
            ),
        ],
        ids=["missing table", "missing column", "column of something else"],
    )
    def test_opt_outs_that_cannot_be_told_fail_the_run_before_anything_is_sent(
        self, project, simulator, exclude, words
    ):
        project.execute("CREATE TABLE opted_out (id VARCHAR, email VARCHAR)")
        project.execute(
            "INSERT INTO opted_out VALUES ('c-1', 'taro@example.com'), ('c-2', 'x@example.com'), (NULL, '')"
        )
        project.attributes["source"]["exclude"] = exclude

        result = project.run()

        assert not result.success
        assert [word for word in words if word not in failure(result)] == [], failure(result)
        assert changed_nothing(simulator)

    def test_those_that_are_no_identifiers_are_warned_of(self, project):
        project.execute("CREATE TABLE opted_out (email VARCHAR)")
        project.execute("INSERT INTO opted_out VALUES ('taro@example.com'), ('nobody'), ('')")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}

        result = project.run()

        assert project.metadata(result, "hashed_identifiers")["held_back"] == 1
        [warning] = [text for text in project.warned(result) if "opt-outs" in text]
        assert "2 of 3 opt-outs are no valid identifiers" in warning
        assert "1 blank, 1 not_an_email_address" in warning

    def test_who_has_opted_out_since_is_not_sent_with_what_an_earlier_run_left(self, project, simulator):
        """An add of three people in a chunk each fails after the first; then the second opts out."""
        people = sorted(["taro@example.com", "hanako@example.co.jp", "jiro@example.com"], key=sha256)
        project.attributes["destination"] |= {"sync_mode": "add", "max_records_per_upload": 1}
        simulator.inject(Fault(call="upload", skip=1, status=400, reasons=("INVALID_FILE_CONTENT",)))
        assert not project.sync(*people, day=20).success
        assert project.members() == {sha256(people[0])}
        project.execute(f"CREATE TABLE opted_out AS SELECT '{people[1]}' AS email")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}

        assert project.sync("new@example.com", day=21).success

        assert project.members() == {sha256(people[0]), sha256(people[2]), sha256("new@example.com")}

    def test_rows_without_anybody_are_a_mistake(self, project, simulator):
        """A join that broke gives NULLs, which would hold nobody back."""
        project.execute("CREATE TABLE opted_out AS SELECT NULL::VARCHAR AS email UNION ALL SELECT ''")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        result = project.run()
        assert not result.success
        assert "none of the 2 rows of the opt-outs has an identifier" in failure(result)
        assert changed_nothing(simulator)

    def test_that_they_became_far_fewer_is_warned_of(self, project):
        project.execute(
            "CREATE TABLE opted_out AS SELECT 'a' || n || '@example.com' AS email FROM range(10) r(n)"
        )
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        project.sync(day=20)
        project.execute("DELETE FROM opted_out WHERE email > 'a3@example.com'")
        [warning] = [text for text in project.warned(project.sync(day=21)) if "opt-outs" in text]
        assert "There are 4 opt-outs, and there were 10 at the run date before" in warning

    @pytest.mark.parametrize(
        "edit",
        [
            {"source": {"table": "customers", "exclude": {"table": "opted_out", "column": "old_email"}}},
            {"source": {"table": "customers"}},
            {"identifier": {"type": "email", "column": "updated_at"}},
        ],
        ids=["exclude.column", "no exclude", "identifier.column"],
    )
    def test_hashing_again_after_the_file_was_edited_asks_for_the_description_first(self, project, edit):
        project.execute(
            "CREATE TABLE opted_out AS SELECT 'x@example.com' AS old_email, 'taro@example.com' AS email"
        )
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        assert project.run().success
        project.attributes |= edit

        result = project.run("hashed_identifiers")

        assert not result.success
        assert "before the audience file was edited" in failure(result)
        assert "Materialise source_segment" in failure(result)

    def test_when_all_have_opted_out_an_add_sends_nobody_and_a_mirror_is_refused(self, project, simulator):
        project.customers("taro@example.com", "TARO@example.com", None)
        project.execute("CREATE TABLE opted_out AS SELECT 'taro@example.com' AS email")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        result = project.run()
        assert not result.success
        assert "no valid identifiers: all 1 of the source segment have opted out (source.exclude)" in failure(
            result
        )

        project.attributes["destination"]["sync_mode"] = "add"
        assert project.run().success
        assert simulator.audiences() == ()
        assert changed_nothing(simulator)

    def test_a_snapshot_from_before_they_were_excluded_is_not_sent(self, project):
        project.sync("taro@example.com", "hanako@example.co.jp", day=20)
        project.execute("CREATE TABLE opted_out AS SELECT 'taro@example.com' AS email")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        project.sync(day=21)

        result = project.run(
            "line_custom_audience",
            run_date="2026-11-20",
            now=project.noon(21),
            config={"line_custom_audience": {"rollback": True}},
        )

        assert not result.success
        assert "source.exclude of the audience file has changed" in failure(result)
        assert project.members() == {sha256("hanako@example.co.jp")}

    def roll_back(self, project, *, day, now):
        return project.run(
            "line_custom_audience",
            run_date=f"2026-11-{day}",
            now=project.noon(now),
            config={"line_custom_audience": {"rollback": True}},
        )

    def test_a_rollback_does_not_bring_back_who_has_opted_out_since(self, project):
        project.execute("CREATE TABLE opted_out AS SELECT 'x@example.com' AS email")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        project.sync("taro@example.com", "hanako@example.co.jp", day=20)
        project.execute("INSERT INTO opted_out VALUES ('TARO@example.com')")
        project.sync("jiro@example.com", "hanako@example.co.jp", day=21)

        result = self.roll_back(project, day=20, now=21)

        assert result.success
        assert project.members() == {sha256("hanako@example.co.jp")}
        assert project.metadata(result, "line_custom_audience")["identifiers_sent"] == 1
        [warning] = [text for text in project.warned(result) if "opted out" in text]
        assert (
            "1 of the members of the run date 2026-11-20 have opted out by the run date 2026-11-21" in warning
        )

        assert self.roll_back(project, day=20, now=21).success
        assert project.members() == {sha256("hanako@example.co.jp")}

    def test_a_rollback_of_nobody_but_those_is_refused(self, project):
        project.execute("CREATE TABLE opted_out AS SELECT 'x@example.com' AS email")
        project.attributes["source"]["exclude"] = {"table": "opted_out"}
        project.sync("taro@example.com", day=20)
        project.execute("INSERT INTO opted_out VALUES ('taro@example.com')")
        project.sync("jiro@example.com", day=21, override=["max_shrink"])

        result = self.roll_back(project, day=20, now=21)

        assert not result.success
        assert "all 1 of the source segment have opted out (source.exclude)" in failure(result)
        assert project.members() == {sha256("jiro@example.com")}


def test_a_query_may_ask_for_its_run_date(project):
    project.customers("taro@example.com", "hanako@example.co.jp")
    project.execute("UPDATE customers SET updated_at = '2026-11-21 08:00' WHERE email LIKE 'hanako%'")
    project.attributes["source"] = {"query": "SELECT email FROM customers WHERE updated_at >= :run_date"}
    assert project.run().success
    assert project.members() == {sha256("hanako@example.co.jp")}


def test_identifiers_are_made_in_threads_that_end_with_the_asset(project, monkeypatch):
    """They hold most of a run's memory, and Polars would call from more of them."""
    workers = set()

    def noting(digests_of):
        def digests(texts):
            workers.add(threading.current_thread())
            return digests_of(texts)

        return digests

    identify = sys.modules["line_ads_pipeline.identifiers.identify"]
    noted = tuple((outcome, noting(digests_of)) for outcome, digests_of in identify._DIGESTS_OF)
    monkeypatch.setattr(identify, "_DIGESTS_OF", noted)

    assert project.run("source_segment", "hashed_identifiers").success

    assert workers
    assert all(thread.name.startswith("identify") and not thread.is_alive() for thread in workers)


def test_keys_group_job_and_schedule_are_named_after_the_audience(project):
    definitions = dg.Definitions.merge(
        project.definitions(), dg.Definitions(resources=project.resources | {"line_ads": LineAdsResource()})
    )
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}

    assert sorted(specs) == ["vip/hashed_identifiers", "vip/line_custom_audience", "vip/source_segment"]
    assert {spec.group_name for spec in specs.values()} == {"vip"}
    assert [job.name for job in definitions.jobs] == ["sync_vip"]
    assert [schedule.name for schedule in definitions.schedules] == ["vip_schedule"]


def test_nothing_of_the_members_is_in_the_event_log(project):
    result = project.run()

    events = "\n".join(str(event) for event in result.all_events)
    assert sha256("taro@example.com") not in events
    assert "hanako" not in events


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"line_ads": {"secret_key": "wrong"}}, ["authentication failed", "LINE_ADS_SECRET_KEY"]),
        ({"line_ads": {"secret_key": None}}, ["LINE_ADS_SECRET_KEY", "environment variables"]),
        ({"destination": {"ad_account_id": "A99999999999"}}, ["ad account A99999999999 not found"]),
        ({"destination": {"audience_id": "5343822743474"}}, ["audience 5343822743474 not found"]),
        ({"source": {"table": "custommers"}}, ["custommers", "customers"]),
        ({"identifier": {"column": "mail"}}, ["mail", "email"]),
        ({"identifier": {"type": "ifa", "column": "email"}}, ["no valid identifiers"]),
    ],
    ids=[
        "wrong keys",
        "no keys",
        "unknown ad account",
        "unknown audience id",
        "missing table",
        "missing column",
        "no valid identifiers",
    ],
)
def test_a_failing_run_changes_nothing_and_says_what_to_do(project, simulator, change, words):
    project.line_ads |= change.pop("line_ads", {})
    for block, fields in change.items():
        project.attributes[block] |= fields

    result = project.run()

    assert not result.success
    assert [word for word in words if word not in failure(result)] == [], failure(result)
    assert failure(result).count("vip: ") == 1
    assert changed_nothing(simulator)


def test_an_audience_of_another_type_is_refused(project, simulator):
    given = simulator.add_audience(ACCOUNT, name="VIP customers", function_type="HASHED_PHONE_NUMBER_UPLOAD")
    project.attributes["destination"]["audience_id"] = given

    assert "identifier type" in failure(project.run())
    assert changed_nothing(simulator)


def test_somebody_elses_audience_of_the_name_is_refused_unless_adopted(project, simulator):
    simulator.add_audience(ACCOUNT, name="VIP customers", members=["a" * 64])

    assert "adopt: true" in failure(project.run())
    assert changed_nothing(simulator)

    project.attributes["destination"]["adopt"] = True
    assert project.run().success


def test_a_deleted_audience_is_made_anew_when_the_run_config_says_so(project, simulator):
    project.run()
    (first,) = simulator.audiences()
    simulator.remove_audience(first.id)

    assert "recreate_audience" in failure(project.run())
    assert project.run(config={"line_custom_audience": {"recreate_audience": True}}).success


def test_a_past_run_date_without_a_snapshot_is_refused(project):
    result = project.run(run_date="2026-11-20")

    assert "allow_late_snapshot" in failure(result)


def test_a_past_run_date_may_be_hashed_when_the_run_config_says_so(project):
    config = {"hashed_identifiers": {"allow_late_snapshot": True}}

    assert project.run(run_date="2026-11-20", config=config).success


def test_a_past_run_date_keeps_the_snapshot_it_has(project):
    first = project.metadata(project.run(), "hashed_identifiers")
    project.customers("somebody.else@example.com")

    again = project.run("hashed_identifiers", now=datetime(2026, 11, 22, 12, tzinfo=UTC))

    assert project.metadata(again, "hashed_identifiers") == first
    (warning,) = [
        entry for entry in project.instance.all_logs(again.run_id) if entry.level == logging.WARNING
    ]
    assert "run date 2026-11-21 is past (the newest is 2026-11-22)" in warning.user_message


def test_a_run_of_an_older_run_date_ends_without_a_sync_and_without_a_failure(project, simulator):
    project.run()
    project.run(run_date="2026-11-22", now=datetime(2026, 11, 22, 12, tzinfo=UTC))
    before = len(simulator.requests)

    result = project.run("line_custom_audience", now=datetime(2026, 11, 22, 13, tzinfo=UTC))

    assert result.success
    assert not result.asset_materializations_for_node("vip__line_custom_audience")
    assert len(simulator.requests) == before


@pytest.mark.parametrize("asset", ["hashed_identifiers", "line_custom_audience"])
def test_a_step_whose_input_is_missing_says_what_to_materialise(project, asset):
    result = project.run(asset)

    assert "Materialise" in failure(result)
    assert TODAY in failure(result)


def test_a_segment_that_changed_in_between_is_warned_of(project):
    project.attributes["source"]["updated_at"] = "updated_at"
    project.run("source_segment")
    project.customers("taro@example.com", "hanako@example.com")

    result = project.run("hashed_identifiers")

    log = "\n".join(entry.user_message for entry in project.instance.all_logs(result.run_id))
    assert "row count was 6 when source_segment looked, and 2 after hashing" in log
    assert "version was 2026-11-01" in log


def test_an_add_of_an_empty_segment_succeeds_without_a_request(project, simulator):
    project.attributes["destination"]["sync_mode"] = "add"
    project.customers()

    result = project.run()

    assert project.metadata(result, "line_custom_audience") == {
        "identifiers_sent": 0,
        "chunks": 0,
        "bytes": 0,
        "source_state": {"version": None, "upstream": {}},
    }
    assert not simulator.requests


@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_an_incremental_audience_tells_how_much_was_sent_and_why(project, mode):
    project.attributes["destination"] |= {"sync_mode": mode, "incremental": True}
    people = ["taro@example.com", "hanako@example.com", "jiro@example.com"]
    shown = ("sync", "identifiers_sent", "members", "why_everything_was_sent")

    told = []
    for day, count in ((21, 2), (22, 3), (23, 3)):
        metadata = project.metadata(project.sync(*people[:count], day=day), "line_custom_audience")
        told.append([metadata.get(name) for name in shown])

    everything = "full replace" if mode == "mirror" else "everything"
    assert told == [
        [everything, 2, 2, "no sync to this destination is confirmed yet"],
        ["additions only", 1, 3, None],
        ["nothing new", 0, 3, None],
    ]
    assert len(project.members()) == 3


def test_an_incremental_mirror_replaces_everything_as_often_as_the_file_says(project):
    project.attributes["destination"] |= {"incremental": True, "full_replace_every": "1s"}
    project.sync("taro@example.com", day=21)
    time.sleep(1.1)

    metadata = project.metadata(project.sync("taro@example.com", day=22), "line_custom_audience")

    assert metadata["sync"] == "full replace"
    assert "(full_replace_every)" in metadata["why_everything_was_sent"]


def test_uploads_hold_at_most_the_rows_that_the_file_says(project, simulator):
    project.attributes["destination"]["max_records_per_upload"] = 2
    project.customers(*(f"person{number}@example.com" for number in range(5)))

    assert project.metadata(project.run(), "line_custom_audience")["chunks"] == 3
    assert [request.row_count for request in simulator.requests if request.call == "upload"] == [2, 2, 1]


@pytest.mark.parametrize(
    ("identifier", "value", "member"),
    [
        ({"type": "email", "strict_line_characters": False}, "a+b@example.com", sha256("a+b@example.com")),
        ({"type": "phone", "default_country": "JP"}, "090-1234-5678", sha256("819012345678")),
        ({"type": "phone", "default_country": "JP", "phone_format": "national"}, "+81 90-1234-5678", sha256("09012345678")),
        ({"type": "phone", "phone_format": "as_given"}, "090-1234", sha256("0901234")),
        ({"type": "phone", "default_country": "JP", "phone_validation": "possible"}, "02-1234-5678", sha256("81212345678")),
        ({"type": "ifa"}, "EA7583CD-A667-48BC-B806-42ECB2B48606", "EA7583CD-A667-48BC-B806-42ECB2B48606"),
        ({"type": "ifa", "ifa_case": "lower"}, "EA7583CD-A667-48BC-B806-42ECB2B48606", "ea7583cd-a667-48bc-b806-42ecb2b48606"),
    ],
    ids=["email", "phone", "national", "as given", "possible", "ifa", "ifa in lower case"],
)  # fmt: skip
def test_each_identifier_field_has_its_effect(project, simulator, identifier, value, member):
    project.attributes["identifier"] = identifier | {"column": "email"}
    project.customers(value)

    assert project.run().success
    (audience,) = simulator.audiences()
    assert simulator.members(audience.id) == {member}


@pytest.mark.parametrize(
    "identifier",
    [
        {"type": "email", "strict_line_characters": True},
        {"type": "phone", "default_country": "JP", "phone_validation": "valid"},
    ],
    ids=["strict characters", "valid phones"],
)
def test_a_stricter_rule_skips_what_a_looser_one_sends(project, identifier):
    project.attributes["identifier"] = identifier | {"column": "email"}
    project.customers("a+b@example.com", "02-1234-5678")

    assert "no valid identifiers" in failure(project.run())


def test_the_snapshots_of_plain_mobile_ad_ids_are_private_and_few(project):
    project.attributes["identifier"] = {"type": "ifa", "column": "email"}
    project.attributes["guardrails"] = {"max_shrink": 1}
    for day, last_digit in ((21, "1"), (22, "2"), (23, "3")):
        project.customers(f"ea7583cd-a667-48bc-b806-42ecb2b4860{last_digit}")
        project.run(run_date=f"2026-11-{day}", now=datetime(2026, 11, day, 12, tzinfo=UTC))

    (snapshot,) = project.snapshots()
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600


def noon(day: int) -> datetime:
    return datetime(2026, 11, day, 12, tzinfo=UTC)


def hash_days(project, *days: int) -> None:
    """Hash other members on each day, sending none."""
    for day in days:
        project.customers(f"ea7583cd-a667-48bc-b806-42ecb2b486{day}", f"person{day}@example.com")
        result = project.run("source_segment", "hashed_identifiers", run_date=f"2026-11-{day}", now=noon(day))
        assert result.success


def hash_plain_ids_of_two_days(project) -> None:
    project.attributes["identifier"] = {"type": "ifa", "column": "email"}
    hash_days(project, 21, 22)


def hash_past_the_retention(project) -> None:
    hash_days(project, 21)
    (old,) = project.snapshots()
    long_ago = datetime.now(UTC) - timedelta(days=31)
    os.utime(old, (long_ago.timestamp(), long_ago.timestamp()))
    hash_days(project, 22, 23, 24)
    assert not old.exists()


def test_hashing_removes_older_plain_mobile_ad_ids(project):
    hash_plain_ids_of_two_days(project)

    assert len(project.snapshots()) == 1


REMOVED = [(hash_plain_ids_of_two_days, 22), (hash_past_the_retention, 24)]


@pytest.mark.parametrize("asset", ["hashed_identifiers", "line_custom_audience"])
@pytest.mark.parametrize(("prepare", "newest"), REMOVED, ids=["plain mobile ad ids", "digests after 30 days"])
def test_a_past_run_date_whose_snapshot_was_removed_says_so(project, simulator, prepare, newest, asset):
    prepare(project)

    said = failure(project.run(asset, now=noon(newest)))

    assert "vip: the snapshot of the run date 2026-11-21 is no longer in the store" in said
    assert f"materialise the run date 2026-11-{newest}, or give hashed_identifiers" in said
    assert "allow_late_snapshot" in said
    assert not simulator.requests


@pytest.mark.parametrize(("prepare", "newest"), REMOVED, ids=["plain mobile ad ids", "digests after 30 days"])
def test_a_past_run_date_whose_snapshot_was_removed_may_be_hashed_again(project, prepare, newest):
    prepare(project)
    config = {"hashed_identifiers": {"allow_late_snapshot": True}}

    assert project.run("hashed_identifiers", now=noon(newest), config=config).success
    assert project.run("line_custom_audience", now=noon(newest)).success


def test_a_late_snapshot_that_is_there_is_not_hashed_again(project):
    hash_days(project, 21)
    project.customers("somebody.else@example.com")
    config = {"hashed_identifiers": {"allow_late_snapshot": True}}

    again = project.run("hashed_identifiers", now=noon(22), config=config)

    assert [file.name for file in project.snapshots()] == [project.data_version(again, "hashed_identifiers")]


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: os.truncate(file, 1)], ids=["gone", "cut short"])  # fmt: skip
def test_a_lost_snapshot_of_the_newest_run_date_is_hashed_again(project, simulator, damage):
    hash_days(project, 21)
    damage(*project.snapshots())

    assert "Materialise hashed_identifiers with it again" in failure(project.run("line_custom_audience"))
    assert not simulator.requests
    assert project.run("hashed_identifiers", "line_custom_audience").success


def test_a_rejected_upload_says_what_line_said(project, simulator):
    simulator.inject(Fault(call="upload", status=400, reasons=("INVALID_FILE_CONTENT",)))

    assert "INVALID_FILE_CONTENT" in failure(project.run())


@pytest.mark.parametrize("asset", ["source_segment", "hashed_identifiers", "line_custom_audience"])
def test_a_store_that_cannot_be_opened_is_said_in_plain_words(project, asset):
    project.resources["snapshots"] = SnapshotStoreResource(location="gopher://here")

    assert failure(project.run(asset)).startswith(
        "dagster._core.definitions.events.Failure: vip: gopher://here is no place for a store"
    )


@pytest.mark.parametrize(
    ("fault", "changes", "retries"),
    [
        (Fault(call="list", status=429, times=None), {}, 1),
        (Fault(call="list", status=503, times=None), {}, 1),
        (None, {"line_ads": {"base_url": "http://127.0.0.1:1/api"}}, 1),
        (None, {"line_ads": {"secret_key": "wrong"}}, 0),
        (Fault(call="list", status=400, times=None), {}, 0),
        (None, {"destination": {"audience_id": "5343822743474"}}, 0),
        (None, {"source": {"table": "custommers"}}, 0),
        (None, {"identifier": {"column": "updated_at"}}, 0),
        (None, {"identifier": {"type": "ifa", "column": "email"}}, 0),
        (None, {"snapshots": "gopher://here"}, 0),
    ],
    ids=[
        "rate limited",
        "server error",
        "no network",
        "wrong keys",
        "rejected request",
        "unknown audience",
        "missing table",
        "column of another type",
        "no valid identifiers",
        "no such store",
    ],
)
def test_only_what_may_pass_by_itself_is_worth_a_retry(project, simulator, fault, changes, retries):
    project.line_ads |= changes.pop("line_ads", {})
    if location := changes.pop("snapshots", None):
        project.resources["snapshots"] = SnapshotStoreResource(location=location)
    for block, fields in changes.items():
        project.attributes[block] |= fields
    if fault is not None:
        simulator.inject(fault)

    assert project.retries() == retries


def test_a_refused_run_is_not_worth_a_retry(project):
    only_hashing = project.definitions().assets[1:2]
    project.definitions = lambda: dg.Definitions(assets=only_hashing)

    assert project.retries() == 0


class TalkativeWarehouse(WarehouseResource):
    """A resource whose failure quotes a person, as a driver's might."""

    @contextmanager
    def open(self):
        yield int("himitsu@example.com")


def test_the_text_of_an_unexpected_error_is_withheld_and_its_class_and_place_are_given(project):
    project.resources["warehouse"] = TalkativeWarehouse(url="duckdb:///x.duckdb")

    result = project.run()

    said = failure(result)
    assert "vip: stopped by an unexpected ValueError in open:" in said
    assert "< _describe:" in said
    logged = [str(entry) for entry in project.instance.all_logs(result.run_id)]
    assert "himitsu" not in "".join([*map(str, result.all_events), *logged])


def test_an_expected_error_is_shown_without_the_one_it_was_made_from(project):
    project.attributes["source"]["table"] = "custommers"

    (event,) = [event for event in project.run().all_events if event.is_step_failure]

    shown = event.step_failure_data.error.to_string()
    assert shown.count("There is no table or view custommers") == 1
    assert "TableNotFound" not in shown


def test_the_data_version_of_a_segment_is_that_of_its_source(project):
    project.attributes["source"]["updated_at"] = "updated_at"

    result = project.run("source_segment")

    version = project.data_version(result, "source_segment")
    assert version == project.metadata(result, "source_segment")["source_version"]
    assert version.startswith("2026-11-01")
    assert project.data_version(project.run("source_segment"), "source_segment") == version
    project.execute("UPDATE customers SET updated_at = TIMESTAMP '2026-11-02'")
    assert project.data_version(project.run("source_segment"), "source_segment") != version


def test_a_segment_without_a_cheap_marker_is_new_at_every_look(project):
    first, second = project.run("source_segment"), project.run("source_segment")

    assert project.data_version(first, "source_segment") != project.data_version(second, "source_segment")
    assert project.metadata(first, "source_segment")["source_version"].startswith("none: ")


def test_a_source_that_fails_after_it_was_hashed_costs_no_snapshot(project, monkeypatch):
    project.attributes["source"]["updated_at"] = "updated_at"

    def busy(*_arguments, **_keywords):
        raise WarehouseBusy("The database is open for writing.")

    monkeypatch.setattr(Warehouse, "version", busy)
    result = project.run()

    assert result.success
    warnings = [entry.user_message for entry in project.instance.all_logs(result.run_id) if entry.level == 30]
    assert [text for text in warnings if "cannot be told. The database is open" in text]


def test_a_checksum_is_the_version_of_a_source_that_has_no_other(project):
    project.attributes["source"]["checksum"] = True
    one, two = project.run("source_segment"), project.run("source_segment")
    project.customers("someone@example.com")
    three = project.run("source_segment")

    versions = [project.metadata(result, "source_segment")["source_version"] for result in (one, two, three)]
    assert versions[0] == versions[1] != versions[2]


def test_the_data_version_of_a_snapshot_is_that_of_its_members(project):
    versions = []
    for emails in (["a@example.com", "b@example.com"], ["B@example.com", "a@example.com"], ["a@example.com"]):
        project.customers(*emails)
        result = project.run("source_segment", "hashed_identifiers")
        versions.append(project.data_version(result, "hashed_identifiers"))
        assert project.metadata(result, "hashed_identifiers")["snapshot"] == versions[-1]

    assert versions[0] == versions[1] != versions[2]


def test_the_columns_that_are_shown_are_those_of_the_description(project):
    """The warehouse hides names that look like data: a file without a header has a person as its header."""
    (project.folder / "people.csv").write_text("email,taro@example.jp,090-1234-5678\nhanako@example.jp,x,y\n")
    project.attributes["source"] = {"path": "people.csv"}

    metadata = project.metadata(project.run("source_segment"), "source_segment")

    columns = metadata["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in columns] == [
        ("email", "VARCHAR"),
        ("(column 2)", "VARCHAR"),
        ("(column 3)", "VARCHAR"),
    ]
    assert metadata["identifier_column"] == "email"
    assert "taro" not in str(metadata)


def test_the_types_of_columns_are_shown(project):
    metadata = project.metadata(project.run("source_segment"), "source_segment")

    columns = metadata["dagster/column_schema"].columns
    assert {column.name: column.type for column in columns} == {"email": "VARCHAR", "updated_at": "TIMESTAMP"}


@pytest.fixture
def specs(define):
    return lambda **changed: specs_of(define(**changed))


def specs_of(definitions) -> dict:
    """What the asset catalogue shows, by the last part of the key."""
    assets = definitions.assets
    return {spec.key.path[-1]: spec for asset in assets for spec in asset.specs}


def test_owners_own_all_three_assets(specs):
    owners = ["team:crm", "owner@example.com"]

    assert [spec.owners for spec in specs(owners=owners).values()] == [owners] * 3


def test_descriptions_begin_with_that_of_the_file(specs):
    own = {name: spec.description for name, spec in specs().items()}

    described = specs(description="Three orders or more")

    assert {name: spec.description for name, spec in described.items()} == {
        name: f"Three orders or more. {text}" for name, text in own.items()
    }
    assert "no identifier" in own["source_segment"]
    assert "email identifiers" in own["hashed_identifiers"]
    assert "VIP customers in LINE Ads" in own["line_custom_audience"]


def test_an_audience_that_is_given_by_id_is_described_by_it(specs):
    destination = {"ad_account_id": ACCOUNT, "audience_id": "5343822743474"}

    spec = specs(destination=destination)["line_custom_audience"]

    assert "5343822743474 in LINE Ads" in spec.description
    assert spec.metadata["audience"] == "5343822743474"


@pytest.mark.parametrize(("source", "kind"), [({"table": "customers"}, "table"), ({"query": "SELECT 1"}, "table"), ({"path": "people.csv"}, "file")], ids=["table", "query", "file"])  # fmt: skip
def test_kinds_tell_where_data_is(specs, source, kind):
    assert {name: spec.kinds for name, spec in specs(source=source).items()} == {
        "source_segment": {kind},
        "hashed_identifiers": {"polars"},
        "line_custom_audience": {"line"},
    }


def test_the_destination_is_in_the_catalogue(specs):
    metadata = specs()["line_custom_audience"].metadata

    assert {key: value for key, value in metadata.items() if not key.startswith("dagster")} == {
        "ad_account_id": ACCOUNT,
        "audience": "VIP customers",
        "sync_mode": "mirror",
    }


@pytest.mark.parametrize("typed", [None, "", "on", "ON", " true ", "yes", "1"])
def test_schedules_run_unless_the_environment_says_no(define, monkeypatch, typed):
    assert schedule_status(define, monkeypatch, typed) == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize("typed", ["off", "Off", " FALSE", "no", "0"])
def test_schedules_are_stopped_where_the_environment_says_no(define, monkeypatch, typed):
    assert schedule_status(define, monkeypatch, typed) == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize("keep_updated", [True, False])
@pytest.mark.parametrize("typed", ["of", "disabled", "None", "2"])
def test_a_switch_that_says_neither_is_refused_at_load(define, monkeypatch, typed, keep_updated):
    with pytest.raises(AudienceFileError) as raised:
        schedule_status(define, monkeypatch, typed, keep_updated=keep_updated)

    assert str(raised.value) == (
        f'the environment\n  LINE_ADS_SCHEDULES: "{typed}" is neither on nor off\n'
        "  Instead: LINE_ADS_SCHEDULES=off to load every schedule and sensor stopped, on or nothing to let them run"
    )


def schedule_status(define, monkeypatch, typed: str | None, **changed) -> dg.DefaultScheduleStatus:
    monkeypatch.delenv("LINE_ADS_SCHEDULES", raising=False)
    if typed is not None:
        monkeypatch.setenv("LINE_ADS_SCHEDULES", typed)
    (schedule,) = define(**changed).schedules
    return schedule.default_status


def test_the_audience_is_late_when_its_file_says(specs, monkeypatch):
    monkeypatch.delenv("LINE_ADS_SCHEDULES", raising=False)
    frequency = {
        "every": "weekly",
        "day_of_week": "monday",
        "time_of_day": "09:30",
        "time_zone": "Asia/Tokyo",
    }
    assets = specs(run_frequency={**frequency, "late_after": "3h"})

    policy = assets["line_custom_audience"].freshness_policy
    assert (policy.deadline_cron, policy.lower_bound_delta) == ("30 12 * * 1", timedelta(hours=3))
    assert policy.timezone == "Asia/Tokyo"
    assert assets["source_segment"].freshness_policy is None


@pytest.mark.parametrize(("switch", "keep_updated"), [("off", True), ("on", False)])
def test_what_does_not_run_by_itself_is_never_late(specs, monkeypatch, switch, keep_updated):
    monkeypatch.setenv("LINE_ADS_SCHEDULES", switch)

    assert specs(keep_updated=keep_updated)["line_custom_audience"].freshness_policy is None


def test_a_snapshot_of_other_rules_is_never_sent(project, simulator):
    """Hashes of e-mail addresses would be taken for phone numbers."""
    project.run("source_segment")
    project.run("hashed_identifiers")
    project.attributes["identifier"] = {"type": "phone", "column": "email", "phone_format": "as_given"}

    result = project.run("line_custom_audience")

    assert "identifier block" in failure(result)
    assert not simulator.requests


def test_a_past_run_date_is_not_kept_under_other_rules(project):
    project.run()
    project.attributes["identifier"] = {"type": "email", "strict_line_characters": True}
    later = datetime(2026, 11, 22, 12, tzinfo=UTC)

    assert "allow_late_snapshot" in failure(project.run("hashed_identifiers", now=later))
    config = {"hashed_identifiers": {"allow_late_snapshot": True}}
    assert project.run("hashed_identifiers", now=later, config=config).success
