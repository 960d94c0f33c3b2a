"""Requests a second and simultaneous REPLACEs are limited exactly as documented."""

import threading

import httpx

from line_ads_pipeline.simulator import Fault, Simulator


def test_the_eleventh_request_within_a_second_gets_429_without_a_body(start):
    line = start(requests_per_second_limit=10)
    answers = [line.listing() for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[-1].content == b""
    assert line.rules() == ["rate_limit"]


def test_the_second_is_a_sliding_window(start, clock):
    """Five at the end of one clock second and five at the beginning of the next leave no room for more."""
    line = start(requests_per_second_limit=10)
    clock.advance(0.75)
    assert {line.listing().status_code for _ in range(5)} == {200}
    clock.advance(0.5)
    assert {line.listing().status_code for _ in range(5)} == {200}
    assert line.listing().status_code == 429
    clock.advance(0.5)
    assert [line.listing().status_code for _ in range(6)] == [200] * 5 + [429]


def test_refused_requests_do_not_keep_a_client_out(start, clock):
    line = start(requests_per_second_limit=2)
    assert [line.listing().status_code for _ in range(4)] == [200, 200, 429, 429]
    clock.advance(1)
    assert line.listing().status_code == 200


def test_badly_signed_requests_count_for_nobody(start, clock, spec):
    line = start(requests_per_second_limit=1)
    line.http.auth = spec.auth(clock, access_key="somebody")
    assert {line.listing().status_code for _ in range(3)} == {401}
    line.http.auth = spec.auth(clock)
    assert line.listing().status_code == 200


def test_a_clock_that_is_set_back_locks_nobody_out(start, clock):
    line = start(requests_per_second_limit=1)
    assert line.listing().status_code == 200
    clock.advance(-600)
    assert line.listing().status_code == 200


def test_every_call_counts(start):
    line = start(requests_per_second_limit=4)
    audience_id = line.create()
    statuses = [
        line.http.get(line.url(f"/{audience_id}/upload-job")).status_code,
        line.http.post(line.url(f"/{audience_id}"), json={"name": "x"}).status_code,
        line.http.delete(line.url(f"/{audience_id}")).status_code,
        line.upload(name="people").status_code,
    ]
    assert statuses == [200, 200, 202, 429]


def test_the_quota_is_told(start):
    line = start(requests_per_second_limit=10)
    line.listing()
    headers = line.listing().headers
    assert (headers["X-Request-Quota-Limit"], headers["X-Request-Quota-Used"]) == ("10", "2")


def test_ten_a_second_is_the_default():
    with Simulator() as simulator:
        assert simulator._state.rate.limit == 10


def test_the_busiest_second_is_that_of_any_window(start, clock):
    """Not of the clock's seconds; requests exactly a second apart are not within one second."""
    line = start()
    assert line.simulator.busiest_second() == 0
    for pause, requests in ((0.5, 3), (0.25, 4), (0.5, 5), (0.25, 2), (60, 6)):
        clock.advance(pause)
        for _ in range(requests):
            line.listing()
    assert line.simulator.busiest_second() == 3 + 4 + 5


def test_the_busiest_second_counts_what_the_rate_limit_refused_and_faults_harmed(start, clock, spec):
    line = start(requests_per_second_limit=2)
    line.simulator.inject(Fault(call="list", status=429))
    assert [line.listing().status_code for _ in range(5)] == [429, 200, 429, 429, 429]
    line.http.auth = spec.auth(clock, access_key="somebody")
    assert line.listing().status_code == 401
    assert line.simulator.busiest_second() == 5
    line.simulator.reset()
    assert line.simulator.busiest_second() == 0


def test_the_most_replaces_at_once_are_those_whose_jobs_had_not_ended(start, clock):
    line = start(job_seconds=10)
    other = "A10000000002"
    assert line.simulator.most_replaces_at_once(other) == 0
    for pause in (0, 5, 5, 5):
        clock.advance(pause)
        line.create(action="REPLACE")
        line.create(action="ADD")
    line.upload(name="theirs", action="REPLACE", ad_account=other)
    assert line.simulator.most_replaces_at_once("A10000000001") == 2
    assert line.simulator.most_replaces_at_once(other) == 1
    line.simulator.reset()
    assert line.simulator.most_replaces_at_once("A10000000001") == 0


def test_the_most_replaces_at_once_count_one_that_is_refused(start):
    line = start(job_seconds=10)
    for name in "abcdef":
        line.upload(name=name, action="REPLACE")
    assert line.rules() == ["replace_limit"] * 3
    assert line.simulator.most_replaces_at_once("A10000000001") == 4


def test_three_replaces_at_the_same_time_per_ad_account(start, clock):
    """A REPLACE counts until its job is finished; ADDs and other ad accounts do not count."""
    line = start(job_seconds=60)
    for name in "abc":
        line.create(name=name, action="REPLACE")
    refused = line.upload(name="d", action="REPLACE")
    assert (refused.status_code, refused.content) == (429, b"")
    assert line.rules() == ["replace_limit"]
    assert line.upload(name="e", action="ADD").status_code == 202
    assert line.upload(name="f", action="REPLACE", ad_account="A10000000002").status_code == 202
    clock.advance(59)
    assert line.upload(name="g", action="REPLACE").status_code == 429
    clock.advance(1)
    assert line.upload(name="h", action="REPLACE").status_code == 202


def test_a_refused_replace_does_not_count(start):
    line = start(job_seconds=60)
    for _ in range(5):
        assert line.upload(b"junk\n", name="people", action="REPLACE").status_code == 400
    assert line.upload(name="people", action="REPLACE").status_code == 202


def test_a_deleted_audience_gives_its_replace_back(start):
    line = start(job_seconds=60)
    first, *_ = [line.create(action="REPLACE") for _ in range(3)]
    line.http.delete(line.url(f"/{first}"))
    assert line.upload(name="people", action="REPLACE").status_code == 202


def test_a_failed_job_gives_its_replace_back(start):
    line = start()
    line.simulator.inject(Fault(call="upload", times=3, job_failed_type="INTERNAL_ERROR"))
    assert [line.upload(name="x", action="REPLACE").status_code for _ in range(4)] == [202] * 4


def replace_slowly(line, spec, clock, *, release):
    """Send the fields of a REPLACE and its file's first row, then wait before the rest."""
    [row] = spec.hashed("a")
    head = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"name": "slow", "action": "REPLACE", "idType": "HASHED_EMAIL"}.items()
    )
    head += f'--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n{row}\n'

    def body():
        yield head.encode()
        release.wait()
        yield f"{row}\n\r\n--b--\r\n".encode()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with httpx.Client(auth=spec.auth(clock), trust_env=False, verify=False) as http:
        assert http.post(line.url("/upload"), content=body(), headers=headers).status_code == 202


def test_a_replace_counts_from_its_arrival_even_while_its_file_is_under_way(line, clock, spec):
    release = threading.Event()
    arriving = [
        threading.Thread(target=replace_slowly, args=(line, spec, clock), kwargs={"release": release})
        for _ in range(3)
    ]
    for thread in arriving:
        thread.start()
    try:
        spec.wait_until(lambda: [request.action for request in line.simulator.requests] == ["REPLACE"] * 3)
        assert line.simulator.most_replaces_at_once("A10000000001") == 3
        assert line.upload(name="fourth", action="REPLACE").status_code == 429
        assert line.upload(name="fourth", action="ADD").status_code == 202
    finally:
        release.set()
        for thread in arriving:
            thread.join()
    assert line.upload(name="fourth", action="REPLACE").status_code == 202


def test_faults_break_no_rule(line):
    line.simulator.inject(Fault(status=429, times=5))
    assert {line.listing().status_code for _ in range(5)} == {429}
    assert line.rules() == []
