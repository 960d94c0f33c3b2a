"""The control endpoint and the index page show everything, and take what the `Simulator` object takes."""

import socket
import tempfile

import pytest


@pytest.fixture
def control(line):
    """Requests to the control endpoint, which are not signed."""

    def request(method, path, **body):
        return line.http.request(method, f"{line.simulator.url}{path}", auth=None, **body)

    return request


def test_the_state_has_everything(line, control, spec):
    audience_id = line.create(*spec.hashed("b", "a"))
    line.http.get(line.url("/5300000009999/upload-job"))
    control("POST", "/control/faults", json={"call": "list", "status": 500, "skip": 2})
    state = control("GET", "/control/state").json()
    [audience] = state["audiences"]
    assert (audience["id"], audience["name"], audience["status"]) == (audience_id, "people", "READY")
    assert audience["members"] == sorted(spec.hashed("a", "b"))
    assert [(job["audience_id"], job["status"]) for job in state["jobs"]] == [(audience_id, "FINISHED")]
    assert [request["call"] for request in state["requests"]] == ["upload", "upload-job"]
    assert [(broken["rule"], broken["request_number"]) for broken in state["broken_rules"]] == [
        ("unknown_audience", 2)
    ]
    assert state["broken_rule_counts"] == {"unknown_audience": 1}
    assert [(fault["call"], fault["skip"]) for fault in state["faults"]] == [("list", 2)]
    assert "demo-secret-key" not in str(state)


def test_the_state_may_leave_the_members_out(line, control):
    line.create()
    assert "members" not in control("GET", "/control/state?members=false").json()["audiences"][0]


def test_faults_are_injected_one_or_several_at_a_time_and_removed(line, control):
    assert control("POST", "/control/faults", json={"call": "list", "status": 500}).status_code == 204
    faults = [{"call": "list", "status": 502}, {"call": "list", "drop": "before", "times": None}]
    assert control("POST", "/control/faults", json=faults).status_code == 204
    assert [line.listing().status_code for _ in range(2)] == [500, 502]
    assert len(control("GET", "/control/state").json()["faults"]) == 1
    assert control("DELETE", "/control/faults").status_code == 204
    assert line.listing().status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/control/faults", {"call": "list"}, "has no effect"),
        ("/control/faults", {"call": "list", "statsu": 500}, "statsu"),
        ("/control/audiences", {"name": "x"}, "ad_account_id"),
        ("/control/audiences", {"ad_account_id": "A1", "name": "x", "status": "GONE"}, "status"),
    ],
)
def test_a_mistake_is_told(control, path, body, said):
    response = control("POST", path, json=body)
    assert response.status_code == 400
    assert said in response.text


def test_audiences_are_added_and_removed(line, control):
    seed = {
        "ad_account_id": "A10000000001",
        "name": "old",
        "status": "EXPIRED",
        "function_type": "UPLOAD",
        "members": ["x"],
        "created": "2025-01-01T09:00:00+09:00",
        "job_file_names": ["a.txt", "b.txt"],
    }
    response = control("POST", "/control/audiences", json=seed)
    assert response.status_code == 201
    audience_id = response.json()["id"]
    [audience] = line.listing().json()["audienceGroups"]
    assert (audience["id"], audience["functionType"], audience["status"]) == (
        audience_id,
        "UPLOAD",
        "EXPIRED",
    )
    assert audience["created"] == "2025-01-01T00:00:00Z"
    jobs = [(job["name"], job["type"], job["jobStatus"]) for job in line.jobs(audience_id)]
    assert jobs == [("b.txt", "DIFF_ADD", "FINISHED"), ("a.txt", "DIFF_REPLACE", "FINISHED")]
    assert control("DELETE", f"/control/audiences/{audience_id}").status_code == 204
    assert line.names() == []
    assert control("DELETE", f"/control/audiences/{audience_id}").status_code == 404


def test_reset_forgets_everything(start):
    line = start(requests_per_second_limit=3, job_seconds=60)
    for name in "abc":
        line.create(name=name, action="REPLACE")
    assert line.listing().status_code == 429
    assert line.http.post(f"{line.simulator.url}/control/reset", auth=None).status_code == 204
    state = line.http.get(f"{line.simulator.url}/control/state", auth=None).json()
    assert state == {name: [] for name in ("audiences", "jobs", "requests", "broken_rules", "faults")} | {
        "broken_rule_counts": {}
    }
    assert line.upload(name="d", action="REPLACE").status_code == 202


def test_the_index_page_shows_audiences_jobs_requests_and_broken_rules(line, control, spec):
    line.simulator.add_audience("A10000000002", name="gone", status="FAILED", failed_type="INTERNAL_ERROR")
    audience_id = line.create(*spec.hashed(*range(1234)), name="VIP 顧客")
    line.http.get(line.url("/5300000009999/upload-job"))
    control("POST", "/control/faults", json={"call": "upload", "drop": "after", "share": 0.125})
    page = control("GET", "/").text
    for shown in (
        "VIP 顧客",
        audience_id,
        "1,234",
        "HASHED_EMAIL_UPLOAD",
        "READY",
        "INTERNAL_ERROR",
        "people.txt",
        "DIFF_ADD",
        "has no audience 5300000009999",
        "drop=after</td>",
        "12.5 %",
        f"{line.simulator.base_url}<",
        "2026-08-03 01:02:03",
    ):
        assert shown in page
    assert not any(identifier in page for identifier in spec.hashed(*range(1234)))


def test_the_index_page_of_a_new_simulator(control):
    page = control("GET", "/").text
    assert "The first upload makes one" in page
    assert "What was wrong" not in page


def test_nothing_a_client_sends_becomes_markup(line, control):
    line.upload(name="<script>alert(1)</script>", file_name="<b>.txt")
    line.listing(name="<i>")
    response = control("GET", "/")
    assert not any(markup in response.text for markup in ("<script", "<b>", "<i>"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_index_page_needs_nothing_from_elsewhere(control):
    page = control("GET", "/").text
    assert not any(reference in page for reference in ("src=", "<link", "@import", "url("))


def test_a_page_of_another_host_name_is_not_served(line):
    """Otherwise any site could read the simulator through a name of its own that leads to this machine."""
    response = line.http.get(
        f"{line.simulator.url}/control/state", auth=None, headers={"Host": "example.com"}
    )
    assert response.status_code == 400


def test_uploads_never_touch_the_disk(line, monkeypatch):
    """Mobile advertising ids are not hashed, so not even a temporary file may hold them."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("a temporary file was made")

    for maker in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, maker, refuse)
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(1, 100_001)]
    audience_id = line.create(*ids, idType="IFA")
    assert len(line.simulator.members(audience_id)) == 100_000


def test_it_listens_on_loopback_only(line):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", int(line.simulator.url.rpartition(":")[2])))
