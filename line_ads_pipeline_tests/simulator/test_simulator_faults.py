"""Faults on request do what they say, to the requests they match, and nothing else."""

import httpx
import pytest
from pydantic import ValidationError

from line_ads_pipeline.simulator import Fault

GONE = httpx.RemoteProtocolError


def inject(line, **fault):
    line.simulator.inject(Fault(**fault))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_a_status_without_a_body(line, status):
    inject(line, status=status)
    response = line.listing()
    assert (response.status_code, response.content) == (status, b"")
    assert line.listing().status_code == 200
    assert line.rules() == []


def test_a_status_with_reasons(line):
    inject(line, status=503, reasons=("UNKNOWN", "INTERNAL"), retry_after="7")
    response = line.listing()
    assert response.json() == {"errors": [{"reason": "UNKNOWN"}, {"reason": "INTERNAL"}]}
    assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(("takes_effect", "names"), [(False, []), (True, ["people"])])
def test_a_status_may_hide_that_the_request_took_effect(line, takes_effect, names):
    inject(line, call="upload", status=500, takes_effect=takes_effect)
    assert line.upload(name="people").status_code == 500
    assert line.names() == names


@pytest.mark.parametrize("call", ["upload", "any"])
def test_a_garbage_body_with_the_requests_own_status(line, call):
    inject(line, call=call, body="<html>maintenance")
    response = line.upload(name="people")
    assert (response.status_code, response.text) == (202, "<html>maintenance")
    assert line.names() == ["people"]


def test_a_garbage_body_with_a_status(line):
    inject(line, call="list", status=200, body="{")
    response = line.listing()
    assert (response.status_code, response.text) == (200, "{")


@pytest.mark.parametrize(("drop", "names"), [("before", []), ("after", ["people"])])
def test_a_dropped_connection_gives_no_answer(line, drop, names):
    inject(line, call="upload", drop=drop)
    with pytest.raises(GONE, match="without sending a response"):
        line.upload(name="people")
    assert line.names() == names
    dropped = line.simulator.requests[0]
    assert (dropped.status, dropped.fault, dropped.file_name) == (None, f"drop={drop}", "people.txt")
    assert (dropped.job_id is not None) == (drop == "after")


def test_a_refused_request_may_be_dropped_too(line):
    inject(line, call="upload-job", drop="after")
    with pytest.raises(GONE):
        line.jobs("5300000009999")
    assert line.rules() == ["unknown_audience"]


def test_a_dropped_upload_of_many_bytes_gives_no_answer(line, spec):
    inject(line, call="upload", drop="before")
    with pytest.raises(GONE):
        line.upload(spec.rows(*spec.hashed("a")) * 100_000, name="people")


UPLOAD = {
    "name": (None, "people"),
    "action": (None, "ADD"),
    "idType": (None, "HASHED_EMAIL"),
    "file": ("people.txt", f"{'a' * 64}\n"),
}


def upload_impatiently(line):
    """Give up after a moment of waiting for the answer."""
    with pytest.raises(httpx.ReadTimeout):
        line.http.post(line.url("/upload"), files=UPLOAD, timeout=httpx.Timeout(20, read=0.3))


def test_a_delay_before_the_effect(line, spec):
    inject(line, call="upload", delay_seconds=3600)
    upload_impatiently(line)
    spec.wait_until(lambda: line.simulator.requests[0].fault)
    assert line.names() == []


def test_a_delay_after_the_effect(line, spec):
    inject(line, call="upload", answer_delay_seconds=3600)
    upload_impatiently(line)
    spec.wait_until(lambda: line.names() == ["people"])
    assert line.simulator.requests[0].status is None


def test_skip_and_times_choose_the_requests(line):
    inject(line, call="list", status=500, skip=2, times=3)
    assert [line.listing().status_code for _ in range(7)] == [200, 200, 500, 500, 500, 200, 200]


def test_a_fault_without_times_stays(line):
    inject(line, status=500, times=None)
    assert {line.listing().status_code for _ in range(20)} == {500}
    line.simulator.reset()
    assert line.listing().status_code == 200


def harmed_of(line, count):
    """The numbers of the requests that got 500, of so many."""
    return [number for number in range(count) if line.listing().status_code == 500]


def test_a_share_of_the_matching_requests_is_harmed(line):
    inject(line, call="list", status=500, share=0.2, times=None)
    assert 60 <= len(harmed_of(line, 400)) <= 100


def test_the_same_requests_are_harmed_in_every_simulator_of_one_seed(start):
    harmed = []
    for seed in (7, 7, 8):
        line = start(seed=seed)
        inject(line, call="list", status=500, share=0.5, times=None)
        harmed.append(harmed_of(line, 50))
        line.simulator.reset()
        inject(line, call="list", status=500, share=0.5, times=None)
        assert harmed_of(line, 50) == harmed[-1]
    assert harmed[0] == harmed[1] != harmed[2]


def test_other_requests_and_faults_do_not_change_which_requests_a_share_harms(start):
    one, other = start(), start()
    for line in (one, other):
        inject(line, call="list", status=500, share=0.5, times=None)
        inject(line, call="upload", status=500, share=0.5, times=None)
    uploads, listings = [], []
    for number in range(50):
        uploads += [number] if other.upload(name="people").status_code == 500 else []
        listings += [number] if other.listing().status_code == 500 else []
    assert listings == harmed_of(one, 50)
    assert uploads != listings


def test_of_several_faults_with_a_share_each_meets_some_requests_and_some_meet_none(line):
    inject(line, call="list", status=500, share=0.5, times=None)
    inject(line, call="list", status=502, share=0.5, times=None)
    statuses = [line.listing().status_code for _ in range(200)]
    assert {status for status in (200, 500, 502) if statuses.count(status) > 25} == {200, 500, 502}


def test_skip_counts_matching_requests_and_times_harmed_ones_whatever_the_share(line):
    inject(line, call="list", status=500, share=0.5, skip=10, times=3)
    harmed = harmed_of(line, 60)
    assert len(harmed) == 3
    assert harmed[0] >= 10
    assert harmed[-1] - harmed[0] > 2


def test_faults_wait_for_their_turn(line):
    """Each counts the requests it matches; one request meets one of them, the one that waited longest."""
    inject(line, status=500)
    inject(line, status=502)
    inject(line, status=503, skip=3)
    assert [line.listing().status_code for _ in range(5)] == [500, 502, 200, 503, 200]


CALLS = {
    "list": lambda line, _: line.listing(),
    "upload": lambda line, audience_id: line.upload(id=audience_id),
    "upload-job": lambda line, audience_id: line.http.get(line.url(f"/{audience_id}/upload-job")),
    "rename": lambda line, audience_id: line.http.post(line.url(f"/{audience_id}"), json={"name": "x"}),
    "overlap": lambda line, audience_id: line.http.post(
        line.url("/overlapping-audiences"), json={"baseId": audience_id, "comparedIds": [audience_id]}
    ),
    "delete": lambda line, audience_id: line.http.delete(line.url(f"/{audience_id}")),
}


@pytest.mark.parametrize("harmed", CALLS)
def test_a_fault_matches_its_call_only(line, harmed):
    audience_id = line.create()
    inject(line, call=harmed, status=599, times=None)
    statuses = {call: perform(line, audience_id).status_code for call, perform in CALLS.items()}
    assert [call for call, status in statuses.items() if status == 599] == [harmed]


def test_a_fault_may_match_one_action_only(line):
    audience_id = line.create()
    inject(line, call="upload", action="REPLACE", status=500, times=None)
    assert line.upload(id=audience_id).status_code == 202
    assert line.upload(id=audience_id, action="REPLACE").status_code == 500
    assert line.listing().status_code == 200


def test_faults_of_different_aspects_meet_one_request_together(line):
    inject(line, call="upload", job_failed_type="INTERNAL_ERROR")
    inject(line, call="upload", drop="after")
    with pytest.raises(GONE):
        line.upload(name="people")
    [audience] = line.simulator.audiences()
    assert audience.failed_type == "INTERNAL_ERROR"


def test_a_failed_job_changes_nobody_and_says_why(line, spec):
    audience_id = line.create(*spec.hashed("a"))
    inject(line, call="upload", job_failed_type="INTERNAL_ERROR")
    assert line.upload(spec.rows(*spec.hashed("b")), id=audience_id, action="REPLACE").status_code == 202
    job = line.jobs(audience_id)[0]
    assert (job["jobStatus"], job["failedType"], job["audienceCount"]) == ("FAILED", "INTERNAL_ERROR", None)
    assert line.simulator.members(audience_id) == set(spec.hashed("a"))
    assert line.simulator.audiences()[0].status == "READY"


def test_an_audience_whose_only_job_failed_is_failed_until_the_next_upload(line):
    inject(line, call="upload", job_failed_type="INTERNAL_ERROR")
    audience_id = line.create()
    [audience] = line.listing().json()["audienceGroups"]
    assert (audience["status"], audience["failedType"]) == ("FAILED", "INTERNAL_ERROR")
    assert line.upload(id=audience_id).json()["status"] == "IN_PROGRESS"
    [audience] = line.listing().json()["audienceGroups"]
    assert (audience["status"], audience["failedType"]) == ("READY", None)


@pytest.mark.parametrize("processed", [0, 2, 5])
def test_a_job_may_have_processed_another_number_than_was_sent(line, spec, processed):
    inject(line, call="upload", job_processed=processed)
    audience_id = line.create(*spec.hashed("a", "b", "c"))
    line.upload(spec.rows(*spec.hashed("d")), id=audience_id)
    assert [job["audienceCount"] for job in line.jobs(audience_id)] == [1, processed]
    assert line.simulator.members(audience_id) == set(spec.hashed("a", "b", "c", "d"))
    assert line.simulator.requests[0].row_count == 3


def test_what_a_job_processed_is_told_when_it_is_finished(line, clock):
    inject(line, call="upload", job_seconds=10, job_processed=7)
    audience_id = line.create()
    assert line.jobs(audience_id)[0]["audienceCount"] is None
    clock.advance(10)
    assert line.jobs(audience_id)[0]["audienceCount"] == 7


def test_a_slow_job(line, clock):
    inject(line, call="upload", job_seconds=3600)
    audience_id = line.create()
    clock.advance(3599)
    assert line.job_statuses(audience_id) == ["WORKING"]
    clock.advance(1)
    assert line.job_statuses(audience_id) == ["FINISHED"]


def test_jobs_end_in_the_order_of_their_end(line, clock, spec):
    """However late one looks: a slow REPLACE undoes the ADD that was sent after it and done before it."""
    audience_id = line.create(*spec.hashed("old"))
    inject(line, call="upload", job_seconds=30)
    line.upload(spec.rows(*spec.hashed("replaced")), id=audience_id, action="REPLACE")
    inject(line, call="upload", job_seconds=10)
    line.upload(spec.rows(*spec.hashed("added")), id=audience_id)
    clock.advance(60)
    assert line.simulator.members(audience_id) == set(spec.hashed("replaced"))


def test_a_job_that_never_ends(line, clock):
    inject(line, call="upload", job_seconds=float("inf"))
    audience_id = line.create()
    clock.advance(10**9)
    assert line.simulator.jobs(audience_id)[0].status in {"QUEUED", "WORKING"}


def test_a_job_that_is_slow_in_polls(line):
    inject(line, call="upload", job_polls=2)
    audience_id = line.create()
    assert line.simulator.members(audience_id) == frozenset()
    assert [line.job_statuses(audience_id) for _ in range(3)] == [["QUEUED"], ["WORKING"], ["FINISHED"]]
    assert len(line.simulator.members(audience_id)) == 1


def test_an_unknown_job_status(line):
    inject(line, call="upload", job_status="SUSPENDED", job_polls=2)
    audience_id = line.create()
    assert [line.job_statuses(audience_id) for _ in range(3)] == [["SUSPENDED"], ["SUSPENDED"], ["FINISHED"]]


def test_a_job_that_appears_some_polls_later(line, spec):
    audience_id = line.create(*spec.hashed("a"))
    inject(line, call="upload", appears_after_polls=2)
    line.upload(spec.rows(*spec.hashed("b")), id=audience_id, action="REPLACE")
    assert line.simulator.members(audience_id) == set(spec.hashed("a"))
    assert [len(line.jobs(audience_id)) for _ in range(3)] == [1, 1, 2]
    assert line.simulator.members(audience_id) == set(spec.hashed("b"))


def test_a_replace_that_appears_late_wipes_what_was_added_meanwhile(line, clock, spec):
    """The worst that a lost answer can do: the upload is still on its way when the client goes on."""
    audience_id = line.create()
    inject(line, call="upload", drop="after", appears_after_seconds=30)
    with pytest.raises(GONE):
        line.upload(spec.rows(*spec.hashed("late")), id=audience_id, action="REPLACE")
    line.upload(spec.rows(*spec.hashed("added")), id=audience_id)
    assert set(spec.hashed("added")) < line.simulator.members(audience_id)
    clock.advance(30)
    assert line.simulator.members(audience_id) == set(spec.hashed("late"))
    newest = line.jobs(audience_id)[0]
    assert (newest["type"], newest["created"]) == ("DIFF_REPLACE", "2026-08-03T01:02:33Z")
    assert line.rules() == []


def test_an_accepted_job_that_has_not_appeared_is_still_to_be_waited_for(line):
    inject(line, call="upload", appears_after_polls=1)
    audience_id = line.create()
    line.upload(id=audience_id)
    assert line.rules() == ["parallel_upload"]


@pytest.mark.parametrize(
    "lost",
    [{"drop": "after"}, {"status": 500, "takes_effect": True}, {"body": "garbage"}],
    ids=["dropped", "status", "garbage"],
)
def test_an_audience_made_by_a_lost_upload_appears_with_its_job(line, lost):
    inject(line, call="upload", appears_after_polls=2, **lost)
    if "drop" in lost:
        with pytest.raises(GONE):
            line.upload(name="people")
    else:
        line.upload(name="people")
    assert [line.names() for _ in range(3)] == [[], [], ["people"]]
    [audience] = line.simulator.audiences()
    assert line.job_statuses(audience.id) == ["FINISHED"]


def test_an_audience_whose_upload_was_answered_is_there_before_its_job(line):
    inject(line, call="upload", appears_after_polls=1)
    audience_id = line.create()
    assert line.names() == ["people"]
    assert [line.job_statuses(audience_id) for _ in range(2)] == [[], ["FINISHED"]]


def test_a_job_list_without_file_names(line):
    audience_id = line.create()
    inject(line, call="upload-job", hide_file_names=True)
    assert [job["name"] for _ in range(2) for job in line.jobs(audience_id)] == [None, "people.txt"]


def test_a_capped_job_list_has_the_newest(line):
    names = [f"{number}.txt" for number in range(60)]
    audience_id = line.simulator.add_audience("A10000000001", name="old", job_file_names=names)
    inject(line, call="upload-job", job_list_limit=50)
    assert [job["name"] for job in line.jobs(audience_id)] == names[:9:-1]
    assert len(line.jobs(audience_id)) == 60


IMPOSSIBLE = {
    "no effect": ({"call": "list"}, "has no effect"),
    "drop with a status": ({"drop": "after", "status": 500}, "no status and no body"),
    "reasons without a status": ({"reasons": ("UNKNOWN",), "delay_seconds": 1}, "need a status"),
    "reasons and a body": ({"status": 400, "reasons": ("UNKNOWN",), "body": "x"}, "either reasons or a body"),
    "job of a list": ({"call": "list", "job_seconds": 1}, 'needs call "upload"'),
    "job list of an upload": ({"call": "upload", "hide_file_names": True}, 'needs call "upload-job"'),
    "action of a list": ({"call": "list", "action": "ADD", "status": 500}, "has an action"),
    "unknown call": ({"call": "uplaod", "status": 500}, "call"),
    "unknown field": ({"call": "upload", "statsu": 500}, "statsu"),
    "no times": ({"status": 500, "times": 0}, "times"),
    "share of nothing": ({"status": 500, "share": 0}, "share"),
    "share of more than all": ({"status": 500, "share": 1.5}, "share"),
    "a share alone": ({"share": 0.5}, "has no effect"),
    "count of a failed job": (
        {"call": "upload", "job_failed_type": "INTERNAL_ERROR", "job_processed": 1},
        "has no audienceCount",
    ),
    "count of a list": ({"call": "list", "job_processed": 1}, 'needs call "upload"'),
    "negative count": ({"call": "upload", "job_processed": -1}, "job_processed"),
    "negative delay": ({"delay_seconds": -1}, "delay_seconds"),
}


@pytest.mark.parametrize(("fields", "said"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_fault_that_could_never_do_what_it_says_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        Fault(**fields)
