"""What the run config of `line_custom_audience` takes, and the runs that end without materialising."""

import threading
from contextlib import contextmanager

import dagster as dg
import pytest

OVERRIDES = ["min_identifiers", "max_shrink", "max_skipped", "foreign_uploads", "unfinished_sync"]


def hold_of(result) -> list[tuple[bool, str]]:
    """What the check `hold` found."""
    return [
        (check.passed, check.severity.value)
        for check in result.get_asset_check_evaluations()
        if check.check_name == "hold"
    ]


def test_every_override_there_is_may_be_given_to_a_run_that_needs_none(project):
    assert project.sync(override=OVERRIDES).success


@pytest.mark.parametrize("unknown", ["max_shrunk", "confirmation", "hold", "MAX_SHRINK"])
def test_an_unknown_override_is_refused_before_the_run_starts_with_the_names_there_are(project, unknown):
    with pytest.raises(dg.DagsterInvalidConfigError) as refused:
        project.sync(override=[unknown])

    assert "line_custom_audience:config:override" in str(refused.value)
    assert [name for name in OVERRIDES if name not in str(refused.value)] == []
    assert not project.instance.get_runs()
    assert not project.simulator.requests


@pytest.mark.parametrize(
    "config", [{"overide": ["max_shrink"]}, {"rollback": "yes"}, {"override": "max_shrink"}, {"force": True}]
)
def test_run_config_of_another_form_is_refused_before_the_run_starts(project, config):
    with pytest.raises(dg.DagsterInvalidConfigError):
        project.sync(**config)

    assert not project.instance.get_runs()


def test_the_launchpad_is_told_what_each_field_means(project):
    (op,) = (
        asset.op for asset in project.definitions().assets if asset.key.path[-1] == "line_custom_audience"
    )

    fields = op.config_schema.config_type.fields

    assert list(fields) == ["override", "rollback", "release_hold", "recreate_audience"]
    assert all(field.description for field in fields.values())
    assert not any(field.is_required for field in fields.values())


def test_a_rollback_of_an_add_is_refused_as_it_removes_nobody(project):
    project.attributes["destination"]["sync_mode"] = "add"

    said = project.failure(project.sync(rollback=True))

    assert said.startswith("vip: rollback is for sync_mode: mirror")
    assert not project.simulator.requests


def ended_without_a_sync(project, result) -> str:
    """Why a run ended without materialising, as its log says; it succeeded."""
    assert result.success
    assert not result.asset_materializations_for_node("vip__line_custom_audience")
    (said,) = (text for text in project.warned(result) if "line_custom_audience" in text or "nothing" in text)
    assert said.startswith("vip: nothing is materialised: ")
    return said.removeprefix("vip: nothing is materialised: ")


def test_a_run_of_an_older_run_date_ends_without_materialising_and_says_how_to_go_back(project):
    project.sync("ann@example.com", "bob@example.com")
    project.sync("ann@example.com", day=22)
    before = len(project.simulator.requests)

    result = project.run("line_custom_audience", now=project.noon(22))

    said = ended_without_a_sync(project, result)
    assert "the run date 2026-11-21 is older than 2026-11-22, of which something was sent" in said
    assert "rollback: true" in said
    assert not result.get_asset_check_evaluations()
    assert len(project.simulator.requests) == before
    assert len(project.members()) == 1


def test_a_run_of_an_audience_on_hold_ends_without_materialising_and_shows_it(project):
    project.sync("ann@example.com", "bob@example.com")
    project.sync("ann@example.com", day=22)
    rollback = {"line_custom_audience": {"rollback": True}}
    assert project.run("line_custom_audience", config=rollback, now=project.noon(22)).success
    before = len(project.simulator.requests)

    result = project.sync(day=23)

    said = ended_without_a_sync(project, result)
    assert "on hold" in said
    assert "rolled back to the run date 2026-11-21" in said
    assert "release_hold: true" in said
    assert hold_of(result) == [(False, "WARN")]
    assert len(project.simulator.requests) == before
    assert len(project.members()) == 2
    assert project.run(
        "source_segment", "hashed_identifiers", run_date="2026-11-23", now=project.noon(23)
    ).success


def test_another_rollback_moves_an_audience_that_is_on_hold(project):
    rollback = {"line_custom_audience": {"rollback": True}}
    for day, people in ((21, "abc"), (22, "ab"), (23, "a")):
        project.sync(*(f"{person}@example.com" for person in people), day=day)
    project.run("line_custom_audience", run_date="2026-11-22", config=rollback, now=project.noon(23))

    again = project.run("line_custom_audience", config=rollback, now=project.noon(23))

    assert again.success
    assert len(project.members()) == 3
    assert "run date 2026-11-21" in ended_without_a_sync(project, project.sync(day=23))


def test_a_run_that_fails_releases_no_hold(project):
    rollback = {"line_custom_audience": {"rollback": True}}
    project.sync("ann@example.com")
    project.sync("ann@example.com", "bob@example.com", day=22)
    project.run("line_custom_audience", config=rollback, now=project.noon(22))
    key = project.line_ads["secret_key"]
    project.line_ads["secret_key"] = "wrong"
    assert not project.sync(day=22, release_hold=True).success

    project.line_ads["secret_key"] = key

    assert "on hold" in ended_without_a_sync(project, project.sync(day=22))


@contextmanager
def others_at_work(project, *run_dates: str):
    """One run of the audience is at work, and others wait for it, by their run dates."""
    done = threading.Event()

    def work(run_date: str) -> None:
        with project.alone(run_date):
            done.wait(60)

    threads = [threading.Thread(target=work, args=[run_date], daemon=True) for run_date in run_dates]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        # a holder has a claim on the audience too
        project.wait_for_claims(number + 1)
    yield
    done.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_a_waiting_run_ends_without_materialising_when_a_newer_one_waits_too(project):
    assert project.run("source_segment", "hashed_identifiers").success

    with others_at_work(project, "2026-11-20", "2026-11-22"):
        result = project.run("line_custom_audience")

    assert "a newer run of this audience is waiting too" in ended_without_a_sync(project, result)
    assert not result.get_asset_check_evaluations()
    assert not project.simulator.requests
