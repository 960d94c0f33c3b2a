"""What a run and a sensor say when the coordination database cannot be used: one sentence, and nothing secret."""

import dagster as dg
import pytest

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.confirmation_sensor import ConfirmationSensor
from line_ads_pipeline.simulator import Fault


def unknown_kind(_) -> str:
    return "mysql://leases:himitsu@db.example/leases"


def no_url(_) -> str:
    return "himitsu"


def another_driver(_) -> str:
    return "postgresql+asyncpg://leases:himitsu@db.example/leases"


def away(_) -> str:
    return "postgresql://leases:himitsu@127.0.0.1:1/leases"


def a_folder(folder) -> str:
    return f"sqlite:///{folder}"


def not_a_database(folder) -> str:
    (folder / "notes.txt").write_text("himitsu, but no database" * 100)
    return f"sqlite:///{folder / 'notes.txt'}"


MISTAKES = [unknown_kind, no_url, another_driver]
FAILURES = [away, a_folder, not_a_database]
TROUBLES = pytest.mark.parametrize("url", MISTAKES + FAILURES, ids=lambda url: url.__name__.replace("_", " "))


@TROUBLES
def test_a_run_says_in_one_sentence_which_variable_to_look_at(project, url):
    project.line_ads["coordination_url"] = url(project.folder)

    result = project.run()

    said = project.failure(result)
    assert said.startswith("vip: ")
    assert said.count("LINE_ADS_COORDINATION_URL") == 1
    assert said.count(". ") == 0
    assert "unexpected" not in said
    logged = "".join(str(entry) for entry in project.instance.all_logs(result.run_id))
    assert "himitsu" not in f"{said} {logged} {[*map(str, result.all_events)]}"
    assert not project.simulator.requests


@TROUBLES
def test_a_tick_says_the_same(project, url):
    project.attributes["destination"]["wait_for_processing"] = False
    project.simulator.inject(Fault(call="upload", job_polls=1))
    assert project.sync().success
    project.line_ads["coordination_url"] = url(project.folder)
    sensor = ConfirmationSensor(Audience.model_validate(project.attributes))

    with (
        dg.build_sensor_context(instance=project.instance, resources=project.all_resources()) as context,
        pytest.raises(dg.Failure) as failed,
    ):
        sensor.tick(context)

    assert "LINE_ADS_COORDINATION_URL" in failed.value.description
    assert "himitsu" not in failed.value.description


@pytest.mark.parametrize(
    ("url", "retries"),
    [*((url, 0) for url in MISTAKES[:1]), *((url, 1) for url in FAILURES[:1])],
    ids=["a mistake", "a database that is away"],
)
def test_only_a_database_that_may_come_back_is_worth_a_retry(project, url, retries):
    project.line_ads["coordination_url"] = url(project.folder)

    assert project.retries() == retries


def test_a_run_that_was_taken_for_dead_stops_and_the_next_one_goes_on(project):
    """Its lease may be another's by then: it writes nothing any more."""
    project.simulator.inject(Fault(call="upload", job_polls=4))
    project.line_ads["first_poll_seconds"] = 0.3

    with project.leases_lost_when(lambda: any(one.call == "upload" for one in project.simulator.requests)):
        result = project.sync()

    assert "is no longer held" in project.failure(result)
    assert project.sync().success
    assert sum(request.call == "upload" for request in project.simulator.requests) == 1
    assert len(project.members()) == 2
