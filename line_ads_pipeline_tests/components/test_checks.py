"""What a sync found before and after it sent anything, as the asset checks of `line_custom_audience` show it."""

import dagster as dg
import pytest

from line_ads_pipeline.simulator import Fault

ACCOUNT = "A10000000001"
AUDIENCE = dg.AssetKey(["vip", "line_custom_audience"])
GUARDRAILS = {"min_identifiers", "max_shrink", "max_skipped", "foreign_uploads"}


def checks(result) -> dict[str, dg.AssetCheckEvaluation]:
    """The check results of a run by their names, each of which is there once."""
    evaluations = result.get_asset_check_evaluations()
    assert {evaluation.asset_key for evaluation in evaluations} <= {AUDIENCE}
    by_name = {evaluation.check_name: evaluation for evaluation in evaluations}
    assert len(by_name) == len(evaluations)
    return by_name


def numbers(evaluation: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: entry.value for name, entry in evaluation.metadata.items()}


def warnings(result) -> dict[str, str]:
    """What the checks of a run warn of, in their words; no check is an error."""
    failed = {name: check for name, check in checks(result).items() if not check.passed}
    assert {check.severity for check in failed.values()} <= {dg.AssetCheckSeverity.WARN}
    return {name: check.description for name, check in failed.items()}


def check_names(definitions: dg.Definitions) -> list[str]:
    return sorted(spec.name for asset in definitions.assets for spec in asset.check_specs)


def test_a_mirror_has_the_checks_of_its_guardrails(define):
    assert check_names(define()) == [
        "confirmation",
        "destination",
        "foreign_uploads",
        "hold",
        "max_shrink",
        "max_skipped",
        "min_identifiers",
        "unfinished_sync",
    ]


def test_an_add_has_no_checks_of_what_it_cannot_do(define):
    destination = {"ad_account_id": ACCOUNT, "audience_name": "VIP customers", "sync_mode": "add"}

    assert check_names(define(destination=destination)) == [
        "confirmation",
        "destination",
        "hold",
        "min_identifiers",
        "unfinished_sync",
    ]


def test_the_checks_are_of_the_asset_and_never_of_a_job_alone(define):
    """The schedule's job takes them along, so that no scheduled run goes without."""
    definitions = dg.Definitions.merge(
        define(),
        dg.Definitions(
            resources=dict.fromkeys(
                ("warehouse", "snapshots", "line_ads"), dg.ResourceDefinition.none_resource()
            )
        ),
    )

    keys = definitions.resolve_job_def("sync_vip").asset_layer.asset_graph.asset_check_keys

    assert {key.asset_key for key in keys} == {AUDIENCE}
    assert sorted(key.name for key in keys) == check_names(define())


@pytest.mark.parametrize("sync_mode", ["mirror", "add"])
def test_a_sync_that_is_well_passes_every_check_there_is(project, sync_mode):
    project.attributes["destination"]["sync_mode"] = sync_mode

    found = checks(project.sync())

    assert sorted(found) == check_names(project.definitions())
    assert [name for name, check in found.items() if not check.passed] == []


def test_checks_that_pass_show_their_numbers(project):
    project.sync("ann@example.com", "bob@example.com", "cat@example.com")

    found = checks(project.sync("ann@example.com", "bob@example.com", "nobody", "", day=22))

    assert {name: numbers(check) for name, check in found.items()} == {
        "destination": {},
        "hold": {},
        "unfinished_sync": {},
        "min_identifiers": {"identifiers": 2, "rows": 4, "limit": 1},
        "max_skipped": {"skipped": 1, "values": 3, "share": 0.333333, "limit": 0.5},
        "max_shrink": {"was": 3, "would_be": 2, "left": 1, "share": 0.333333, "limit": 0.5},
        "foreign_uploads": {"uploads": 0},
        "confirmation": {"sent": 2, "processed": 2},
    }
    assert found["max_shrink"].description == (
        "Was 3 (run date 2026-11-21), would be 2: 1 leave, 33.333 %; limit 50 %."
    )


def shrinking(_) -> tuple[str, ...]:
    return ("zoe@example.com",)


def skipping(_) -> tuple[str, ...]:
    return ("ann@example.com", "bob@example.com", "nobody", "no one", "none")


def too_few(project) -> tuple[str, ...]:
    project.attributes["guardrails"] = {"min_identifiers": 1000}
    return ("ann@example.com", "bob@example.com")


def meddled_with(project) -> tuple[str, ...]:
    project.upload_from_elsewhere()
    return ("ann@example.com", "bob@example.com")


STOPPED = [
    ("max_shrink", shrinking, {"was": 2, "would_be": 1, "left": 2, "share": 1.0, "limit": 0.5}, "would be 1: 2 leave, 100 %; limit 50 %"),
    ("max_skipped", skipping, {"skipped": 3, "values": 5, "share": 0.6, "limit": 0.5}, "3 of 5 values skipped, 60 %; limit 50 %"),
    ("min_identifiers", too_few, {"identifiers": 2, "rows": 2, "limit": 1000}, "2 identifiers; at least 1,000 wanted"),
    ("foreign_uploads", meddled_with, {"uploads": 1}, "1 upload from elsewhere since the last sync"),
]  # fmt: skip


@pytest.fixture(params=STOPPED, ids=[name for name, *_ in STOPPED])
def stopped(project, request):
    """An audience of two people whose next sync one guardrail stops: that guardrail's name, numbers and words."""
    name, prepare, found, words = request.param
    assert project.sync("ann@example.com", "bob@example.com").success
    project.customers(*prepare(project))
    return name, found, words


def test_a_guardrail_that_stops_fails_the_run_before_anything_is_changed(project, stopped):
    """An error with its numbers beside the guardrails that pass, and one sentence that says what to do."""
    name, expected, words = stopped
    before, held = len(project.simulator.requests), project.members()

    result = project.sync(day=22)

    found = checks(result)
    assert found.keys() >= GUARDRAILS
    assert [other for other, check in found.items() if not check.passed] == [name]
    assert found[name].severity is dg.AssetCheckSeverity.ERROR
    assert words in found[name].description
    assert {key: value for key, value in numbers(found[name]).items() if key != "job_ids"} == expected

    assert not result.success
    said = project.failure(result)
    assert said.startswith(f"vip: a guardrail stopped the sync, and nothing of it was sent. {name}: ")
    assert words in said
    assert said.endswith(f"once with the run config override: [{name}].")
    assert {request.method for request in project.simulator.requests[before:]} == {"GET"}
    assert project.members() == held
    assert not result.asset_materializations_for_node("vip__line_custom_audience")


def test_an_override_turns_the_error_into_a_warning_for_one_run(project, stopped):
    name, expected, words = stopped

    result = project.sync(day=22, override=[name])

    assert result.success
    assert list(warnings(result)) == [name]
    assert words in warnings(result)[name]
    assert warnings(result)[name].endswith("Overridden for this run.")
    assert {k: v for k, v in numbers(checks(result)[name]).items() if k != "job_ids"} == expected
    later = checks(project.sync(day=23))[name]
    assert later.passed or later.severity is dg.AssetCheckSeverity.ERROR


def test_an_override_of_other_guardrails_changes_nothing(project):
    project.sync()

    result = project.sync("zoe@example.com", day=22, override=sorted(GUARDRAILS - {"max_shrink"}))

    assert not result.success
    assert checks(result)["max_shrink"].severity is dg.AssetCheckSeverity.ERROR


def test_all_guardrails_that_stop_are_told_by_one_run(project):
    project.sync("ann@example.com", "bob@example.com")
    project.attributes["guardrails"] = {"min_identifiers": 5}

    result = project.sync("zoe@example.com", "nobody", "no one", day=22)

    stopping = {name for name, check in checks(result).items() if not check.passed}
    assert stopping == {"min_identifiers", "max_shrink", "max_skipped"}
    assert "override: [min_identifiers, max_skipped, max_shrink]" in project.failure(result)


def test_a_stopped_sync_is_not_worth_a_retry(project):
    """Under a policy of retries the step would only be stopped again."""
    project.attributes["guardrails"] = {"min_identifiers": 5}

    assert project.retries() == 0


def test_a_mirror_of_nobody_is_an_error_of_the_check_whatever_is_overridden(project):
    project.sync("ann@example.com")

    result = project.sync("nobody", day=22, override=sorted(GUARDRAILS))

    assert "no valid identifiers" in project.failure(result)
    found = checks(result)
    assert found["min_identifiers"].severity is dg.AssetCheckSeverity.ERROR
    assert not found["min_identifiers"].passed
    assert numbers(found["min_identifiers"]) == {"identifiers": 0, "rows": 1, "limit": 1}
    assert numbers(found["max_skipped"])["skipped"] == 1


def test_a_deletion_of_the_audience_of_nobody_is_a_warning(project):
    project.attributes["destination"]["when_empty"] = "delete_audience"
    project.sync("ann@example.com")
    project.execute("DELETE FROM customers")

    result = project.sync(day=22)

    assert result.success
    assert set(warnings(result)) == {"min_identifiers", "max_shrink"}
    assert "Nobody is left: the audience is deleted" in warnings(result)["max_shrink"]
    assert "deleted_audience_id" in project.metadata(result, "line_custom_audience")


def test_a_shrink_that_nobody_can_tell_is_a_warning(project):
    """LINE gives no size of small audiences."""
    project.simulator.add_audience(ACCOUNT, name="VIP customers", members=["a" * 64])
    project.attributes["destination"]["adopt"] = True

    result = project.sync()

    assert result.success
    assert "What the audience holds is unknown" in warnings(result)["max_shrink"]


def test_a_difference_between_sent_and_processed_is_a_warning_with_both_numbers(project):
    project.simulator.inject(Fault(call="upload", job_processed=1))

    result = project.sync()

    assert result.success
    assert warnings(result) == {"confirmation": "2 identifiers sent, 1 processed by LINE."}
    assert numbers(checks(result)["confirmation"]) == {"sent": 2, "processed": 1}
    assert project.metadata(result, "line_custom_audience")["identifiers_processed"] == 1


def test_a_changed_destination_is_a_warning_that_names_both(project):
    project.sync()
    (old,) = project.simulator.audiences()
    project.attributes["destination"]["audience_name"] = "Very important customers"

    result = project.sync(day=22)

    assert result.success
    assert list(warnings(result)) == ["destination"]
    assert f"The destination has changed: audience {old.id} " in warnings(result)["destination"]


def test_a_recreated_audience_is_a_warning(project):
    project.sync()
    (old,) = project.simulator.audiences()
    project.simulator.remove_audience(old.id)

    result = project.sync(day=22, recreate_audience=True)

    assert result.success
    assert f"recreate_audience: audience {old.id} cannot be used any more" in warnings(result)["destination"]
    assert "destination" not in warnings(project.sync(day=23, recreate_audience=True))


def test_a_rollback_and_the_release_of_its_hold_are_warnings(project):
    project.sync("ann@example.com", "bob@example.com")
    project.sync("ann@example.com", day=22)

    rolled_back = project.run(
        "line_custom_audience", config={"line_custom_audience": {"rollback": True}}, now=project.noon(22)
    )
    assert rolled_back.success
    assert warnings(rolled_back) == {
        "hold": "Rolled back to the run date 2026-11-21, and on hold until release_hold."
    }
    assert len(project.members()) == 2

    released = project.sync(day=22, release_hold=True)
    assert warnings(released) == {"hold": "The hold at the run date 2026-11-21 is released."}
    assert len(project.members()) == 1
    assert not warnings(project.sync(day=22, release_hold=True))


def test_a_rollback_asks_the_guardrails_too(project):
    project.attributes["guardrails"] = {"max_shrink": 0.1}
    project.sync("ann@example.com")
    project.sync("bob@example.com", "cat@example.com", day=22, override=["max_shrink"])
    rollback = {"line_custom_audience": {"rollback": True}}

    stopped = project.run("line_custom_audience", config=rollback, now=project.noon(22))

    assert not stopped.success
    assert checks(stopped)["max_shrink"].severity is dg.AssetCheckSeverity.ERROR
    assert not warnings(project.sync(day=22)), "a rollback that was stopped holds nothing"


def test_a_sync_that_is_given_up_is_a_warning_with_what_may_be_missing(project):
    project.attributes["destination"] |= {"sync_mode": "add", "max_records_per_upload": 2}
    project.simulator.inject(
        Fault(call="upload", skip=1, job_failed_type="AUDIENCE_GROUP_AUDIENCE_INSUFFICIENT")
    )
    failed = project.sync(*(f"person{number}@example.com" for number in range(5)))
    assert "override: [unfinished_sync]" in project.failure(failed)

    result = project.sync("ann@example.com", day=22, override=["unfinished_sync"])

    assert result.success
    assert list(warnings(result)) == ["unfinished_sync"]
    assert "of its 5 identifiers, 3 may not be in the audience" in warnings(result)["unfinished_sync"]
    assert numbers(checks(result)["unfinished_sync"]) == {"identifiers": 5, "unfinished": 3}
    assert len(project.members()) == 3


def test_a_sync_that_goes_on_says_so_and_passes(project):
    project.simulator.inject(Fault(call="upload", status=400, reasons=("INVALID_FILE_CONTENT",)))
    assert not project.sync().success

    found = checks(project.sync())

    assert found["unfinished_sync"].passed
    assert "was unfinished" in found["unfinished_sync"].description
    assert found.keys() >= GUARDRAILS, (
        "what was found before the first upload is told by the run that ends it"
    )


def test_what_cannot_be_looked_at_has_no_check_result(project):
    """A check that was not made has neither passed nor failed."""
    project.line_ads["secret_key"] = "wrong"

    result = project.sync()

    assert not result.success
    assert not checks(result)


def test_check_results_follow_the_materialisation_they_are_of(project):
    result = project.sync()

    (materialised,) = (
        event
        for event in project.instance.fetch_materializations(AUDIENCE, limit=9).records
        if event.event_log_entry.run_id == result.run_id
    )
    of = {check.target_materialization_data.storage_id for check in checks(result).values()}
    assert of == {materialised.storage_id}


def test_the_checks_alone_are_refused_in_our_words(project):
    project.sync()
    before = len(project.simulator.requests)

    result = project.run(dg.AssetSelection.checks_for_assets(AUDIENCE), run_date=None)

    assert not result.success
    assert project.failure(result) == (
        "vip: the checks of line_custom_audience are part of its upload and cannot be run alone. Materialise "
        "line_custom_audience."
    )
    assert len(project.simulator.requests) == before
    assert not checks(result)


def test_one_check_alone_is_refused_too(project):
    one = dg.AssetSelection.checks(dg.AssetCheckKey(AUDIENCE, "max_shrink"))

    assert "cannot be run alone" in project.failure(project.run(one, run_date=None))


def test_without_its_checks_the_audience_is_synced_all_the_same(project):
    project.run("source_segment", "hashed_identifiers")

    result = project.run(dg.AssetSelection.assets(AUDIENCE).without_checks())

    assert result.success
    assert result.asset_materializations_for_node("vip__line_custom_audience")
    assert not checks(result)
    assert len(project.members()) == 2


def test_without_its_checks_a_guardrail_stops_the_audience_all_the_same(project):
    project.sync()
    project.customers("zoe@example.com")
    project.run("source_segment", "hashed_identifiers", run_date="2026-11-22", now=project.noon(22))

    result = project.run(
        dg.AssetSelection.assets(AUDIENCE).without_checks(), run_date="2026-11-22", now=project.noon(22)
    )

    assert "max_shrink: Was 2" in project.failure(result)
    assert not checks(result)
    assert len(project.members()) == 2


def test_some_of_the_checks_may_be_left_out(project):
    project.run("source_segment", "hashed_identifiers")
    one = dg.AssetSelection.checks(dg.AssetCheckKey(AUDIENCE, "max_shrink"))

    result = project.run(dg.AssetSelection.assets(AUDIENCE).without_checks() | one)

    assert result.success
    assert list(checks(result)) == ["max_shrink"]
