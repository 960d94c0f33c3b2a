"""What only a scripted server can show: exact requests, broken answers, how long the client is patient."""

import gzip
import io
import logging
import re
import socket
import threading
import tracemalloc
from datetime import datetime, timedelta

import pytest

from line_ads_pipeline.line_ads import (
    FILE_SIZE_LIMIT,
    AudienceNotFound,
    ClockSkew,
    InvalidBaseUrl,
    LineAdsClient,
    MissingCredentials,
    NetworkError,
    RateLimited,
    RejectedRequest,
    ServerError,
    UnexpectedResponse,
)

AUDIENCE = {"id": "77", "name": "VIP", "functionType": "UPLOAD", "status": "READY"}
NO_AUDIENCES = {"audienceGroups": [], "hasNextPage": False}
NOT_FOUND = {"errors": [{"reason": "AUDIENCE_GROUP_NOT_FOUND", "property": "id"}]}
UPLOADS = "/api/v3/adaccounts/A1/custom-audiences/upload"


class VirtualFile(io.RawIOBase):
    """Lines of 65 bytes that exist only while they are read."""

    def __init__(self, lines):
        self.size = lines * 65
        self.position = 0
        self.read_sizes = []

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def tell(self):
        return self.position

    def read(self, size=-1):
        self.read_sizes.append(size)
        end = self.size if size < 0 else min(self.size, self.position + size)
        first, last = self.position // 65, -(-end // 65)
        text = b"".join(b"%064x\n" % number for number in range(first, last))
        content = text[self.position - first * 65 :][: end - self.position]
        self.position = end
        return content


def upload(client, **changes):
    arguments = {
        "action": "ADD",
        "id_type": "IFA",
        "file": io.BytesIO(b"one\ntwo\n"),
        "file_name": "chunk-1.txt",
        "audience_id": "77",
    }
    return client.upload("A1", **(arguments | changes))


def parts(received):
    """The parts of a multipart body: name to (headers, content)."""
    boundary = received.headers["Content-Type"].partition("boundary=")[2].encode()
    found = {}
    for part in received.body.split(b"--" + boundary)[1:-1]:
        headers, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        found[re.search(rb'name="(\w+)"', headers)[1].decode()] = (headers.decode(), content)
    return found


class TestRequests:
    def test_the_list_is_asked_for_page_by_page_as_it_is_drawn(self, server, scripted_client):
        server.say(200, {"audienceGroups": [AUDIENCE, AUDIENCE | {"id": "76"}], "hasNextPage": True})
        server.say(200, {"audienceGroups": [AUDIENCE | {"id": "75"}], "hasNextPage": False})
        audiences = scripted_client.list_audiences("A1", name="VIP & co")
        assert next(audiences).id == "77"
        assert len(server.received) == 1
        assert [audience.id for audience in audiences] == ["76", "75"]
        query = "&size=100&sortKey=created&sortOrder=desc"
        assert [request.target for request in server.received] == [
            f"/api/v3/adaccounts/A1/custom-audiences?name=VIP%20%26%20co&page={n}{query}".replace("%20", "+")
            for n in (1, 2)
        ]

    def test_an_audience_pushed_to_the_next_page_is_listed_once(self, server, scripted_client):
        server.say(200, {"audienceGroups": [AUDIENCE | {"id": n} for n in "32"], "hasNextPage": True})
        server.say(200, {"audienceGroups": [AUDIENCE | {"id": n} for n in "21"], "hasNextPage": False})
        assert [audience.id for audience in scripted_client.list_audiences("A1")] == ["3", "2", "1"]

    @pytest.mark.parametrize(
        ("destination", "field", "value"),
        [({"audience_id": "77"}, "id", "77"), ({"audience_id": None, "name": "会員"}, "name", "会員")],
    )
    def test_an_upload_is_a_form_of_known_length(self, server, scripted_client, destination, field, value):
        server.say(202, AUDIENCE)
        assert upload(scripted_client, **destination).id == "77"
        (received,) = server.received
        assert (received.method, received.target) == ("POST", UPLOADS)
        assert received.headers["Content-Length"] == str(len(received.body))
        assert "Transfer-Encoding" not in received.headers
        form = parts(received)
        assert list(form) == [field, "action", "idType", "file"]
        assert [content for _, content in form.values()] == [
            value.encode(),
            b"ADD",
            b"IFA",
            b"one\ntwo\n",
        ]
        assert 'filename="chunk-1.txt"' in form["file"][0]
        assert "Content-Type: text/plain" in form["file"][0]

    def test_ids_are_escaped_in_the_path(self, server, scripted_client):
        server.say(202)
        scripted_client.delete("A1/../A2", "7 7?")
        assert server.received[0].target == "/api/v3/adaccounts/A1%2F..%2FA2/custom-audiences/7%207%3F"

    def test_audiences_are_deleted_in_a_request_each(self, server, scripted_client):
        server.say(202)
        server.say(404, NOT_FOUND)
        with pytest.raises(AudienceNotFound, match="audience 78 not found"):
            scripted_client.delete("A1", "77", "78", "79")
        assert [(r.method, r.target.rpartition("/")[2]) for r in server.received] == [
            ("DELETE", "77"),
            ("DELETE", "78"),
        ]

    def test_a_rename_without_an_answer_is_read_back_from_the_list(self, server, scripted_client):
        server.say(200)
        server.say(200, {"audienceGroups": [AUDIENCE | {"name": "New"}], "hasNextPage": False})
        assert scripted_client.rename("A1", "77", name="New").name == "New"
        assert server.received[0].body == b'{"name":"New"}'
        assert server.received[0].headers["Content-Type"] == "application/json"

    def test_a_rename_of_what_the_list_lacks_is_an_error(self, server, scripted_client):
        server.say(200)
        server.say(200, NO_AUDIENCES)
        with pytest.raises(AudienceNotFound, match="audience 77 not found"):
            scripted_client.rename("A1", "77", name="New")

    def test_redirects_are_not_followed(self, server, scripted_client):
        server.say(302, Location=f"{server.base_url}/elsewhere")
        with pytest.raises(UnexpectedResponse, match="redirect"):
            next(scripted_client.list_audiences("A1"))
        assert len(server.received) == 1


class TestConnections:
    def test_all_calls_of_a_client_share_one_connection(self, server, scripted_client):
        """Also after an upload, and after answers that refuse."""
        for _ in range(3):
            server.say(200, NO_AUDIENCES)
            list(scripted_client.list_audiences("A1"))
            server.say(202, AUDIENCE)
            upload(scripted_client, file=VirtualFile(3_000))
            server.say(200, {"jobs": []})
            scripted_client.upload_jobs("A1", "77")
            server.say(404, NOT_FOUND)
            with pytest.raises(AudienceNotFound):
                scripted_client.upload_jobs("A1", "78")
            server.say(400, {"errors": [{"reason": "REQUIRED"}]})
            with pytest.raises(RejectedRequest):
                upload(scripted_client, file=VirtualFile(3_000))
            server.say(429)
            server.say(202, AUDIENCE)
            upload(scripted_client, file=VirtualFile(3_000))
        assert len(server.received) == 21
        assert server.connections == 1

    def test_a_connection_that_the_server_closed_is_replaced(self, server, scripted_client):
        server.say(200, {"jobs": []}, Connection="close")
        server.say(200, {"jobs": []})
        for _ in range(2):
            scripted_client.upload_jobs("A1", "77")
        assert server.connections == 2


class TestFiles:
    def test_a_large_virtual_file_is_streamed(self, server, scripted_client):
        """13 MB go out in pieces of 1 MiB, with a peak of memory far below."""
        server.keeps_bodies = False
        server.say(202, AUDIENCE)
        file = VirtualFile(200_000)
        tracemalloc.start()
        try:
            upload(scripted_client, file=file)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert set(file.read_sizes) == {1024 * 1024}
        assert peak < 7_000_000
        assert file.size < int(server.received[0].headers["Content-Length"]) < file.size + 1_000

    def test_a_repeated_upload_sends_the_whole_file_again(self, server, scripted_client):
        """The file is rewound, and the second request is signed anew."""
        server.say(429, Retry_After="2")
        server.say(202, AUDIENCE)
        file = VirtualFile(3_000)
        file.seek(70)
        upload(scripted_client, file=file)
        contents = [parts(request)["file"][1] for request in server.received]
        assert contents[0] == contents[1] == b"".join(b"%064x\n" % number for number in range(3_000))
        first, second = (request.headers for request in server.received)
        assert (first["Date"], second["Date"]) == (
            "Sat, 01 Aug 2026 12:00:00 GMT",
            "Sat, 01 Aug 2026 12:00:02 GMT",
        )
        assert first["Content-Length"] == second["Content-Length"]

    def test_a_file_that_gives_whole_lines_at_a_time_is_sent_as_it_gives_them(self, server, scripted_client):
        class Lines(io.BytesIO):
            def read1(self, size=-1):
                return super().read1(min(size, 4))

            def read(self, _size=-1):
                raise AssertionError("it would cut and join lines")

        server.say(202, AUDIENCE)
        upload(scripted_client, file=Lines(b"one\ntwo\n" * 100))
        assert parts(server.received[0])["file"][1] == b"one\ntwo\n" * 100

    def test_a_file_whose_descriptor_has_another_size_is_sent_whole(self, server, scripted_client, tmp_path):
        server.say(202, AUDIENCE)
        with gzip.open(tmp_path / "chunk.gz", "wb") as packed:
            packed.write(b"one\n" * 1_000)
        with gzip.open(tmp_path / "chunk.gz") as file:
            upload(scripted_client, file=file)
            assert not file.closed
        assert parts(server.received[0])["file"][1] == b"one\n" * 1_000


CALLS = {
    "list": lambda client: list(client.list_audiences("A1")),
    "jobs": lambda client: client.upload_jobs("A1", "77"),
    "rename": lambda client: client.rename("A1", "77", name="VIP"),
    "overlap": lambda client: client.overlap("A1", base_id="77", compared_ids=["78"]),
    "delete": lambda client: client.delete("A1", "77"),
}
GOOD_ANSWERS = {
    "list": NO_AUDIENCES,
    "jobs": {"jobs": []},
    "rename": AUDIENCE,
    "overlap": {"estimations": {"78": {"rate": 0.5}}},
    "delete": b"",
}
PASSING = {
    "429": {"status": 429},
    "500": {"status": 500, "body": b"<html>oops"},
    "503": {"status": 503},
    "dropped": {"status": None},
    "garbage": {"status": 200, "body": b"<html>Welcome to the hotel's network"},
    "missing fields": {"status": 200, "body": {"ok": True}},
}


class TestPatience:
    @pytest.mark.parametrize(
        ("call", "failure"),
        [
            (call, failure)
            for call in CALLS
            for failure in PASSING
            if (call, failure) != ("delete", "missing fields")  # its answer has none
        ],
    )
    def test_a_call_that_may_be_repeated_is(self, server, scripted_client, fake_time, call, failure):
        server.say(**PASSING[failure])
        server.say(200, GOOD_ANSWERS[call])
        CALLS[call](scripted_client)
        assert len(server.received) == 2
        assert len(fake_time.pauses) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409])
    @pytest.mark.parametrize("call", CALLS)
    def test_a_definite_refusal_is_never_repeated(self, server, scripted_client, fake_time, call, status):
        server.say(status)
        with pytest.raises(Exception, match=f"HTTP {status}"):
            CALLS[call](scripted_client)
        assert len(server.received) == 1
        assert fake_time.pauses == []

    def test_pauses_grow_with_jitter_until_retry_for_has_passed(self, server, scripted_client, fake_time):
        for _ in range(100):
            server.say(500)
        with pytest.raises(ServerError):
            CALLS["jobs"](scripted_client)
        longest = [min(30, 0.5 * 2**n) for n in range(len(fake_time.pauses))]
        assert all(most / 2 <= pause <= most for pause, most in zip(fake_time.pauses, longest, strict=True))
        assert 270 <= sum(fake_time.pauses) <= 300
        assert (
            len({round(pause / most, 6) for pause, most in zip(fake_time.pauses, longest, strict=True)}) > 5
        )
        assert len(server.received) == len(fake_time.pauses) + 1

    def test_the_server_has_the_last_word_on_the_pause(self, server, scripted_client, fake_time):
        server.say(429, Retry_After="42")
        server.say(503, Retry_After="Sat, 01 Aug 2026 12:01:42 GMT")
        server.say(200, {"jobs": []})
        CALLS["jobs"](scripted_client)
        assert fake_time.pauses == [42, 60]

    def test_a_pause_longer_than_retry_for_ends_the_call_at_once(self, server, scripted_client, fake_time):
        server.say(429, Retry_After="301")
        with pytest.raises(RateLimited) as caught:
            CALLS["jobs"](scripted_client)
        assert caught.value.retry_after == 301
        assert fake_time.pauses == []

    def test_a_repeated_delete_that_finds_the_audience_gone_has_succeeded(self, server, scripted_client):
        server.say(None)
        server.say(404, NOT_FOUND)
        scripted_client.delete("A1", "77")
        assert len(server.received) == 2

    def test_a_delete_that_was_only_held_back_before_finds_no_audience(self, server, scripted_client):
        """A 429 certainly deleted nothing, so the audience was gone before."""
        server.say(429)
        server.say(404, NOT_FOUND)
        with pytest.raises(AudienceNotFound):
            scripted_client.delete("A1", "77")

    @pytest.mark.parametrize(
        ("failure", "expected"),
        [
            ("500", ServerError),
            ("503", ServerError),
            ("dropped", NetworkError),
            ("garbage", UnexpectedResponse),
            ("missing fields", UnexpectedResponse),
        ],
    )
    def test_an_upload_that_may_have_arrived_is_not_sent_again(
        self, server, scripted_client, failure, expected
    ):
        server.say(**PASSING[failure])
        with pytest.raises(expected) as caught:
            upload(scripted_client)
        assert caught.value.may_have_taken_effect
        assert len(server.received) == 1

    def test_an_upload_that_certainly_did_not_arrive_is_sent_again(self, client_of, fake_time):
        """Nobody listens on the port: no connection, nothing sent, until `retry_for` has passed."""
        with socket.socket() as placeholder:
            placeholder.bind(("127.0.0.1", 0))
            client = client_of(f"http://127.0.0.1:{placeholder.getsockname()[1]}/api", retry_for=20)
            with pytest.raises(NetworkError, match="no connection to LINE for audience 77") as caught:
                upload(client)
        assert not caught.value.may_have_taken_effect
        assert len(fake_time.pauses) > 3

    def test_a_server_that_answers_too_slowly_is_a_network_error(self, client_of):
        """The socket accepts and never answers; without the `timeout` its end would be another error."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
            end = threading.Timer(3, silent.close)
            end.start()
            with pytest.raises(NetworkError, match="ReadTimeout") as caught:
                CALLS["jobs"](client_of(url, retry_for=0, timeout=0.05))
            end.cancel()
            end.join()
        assert caught.value.may_have_taken_effect

    def test_each_request_takes_its_turn(self, server, client_of):
        """Pages and repetitions count, too."""
        turns = []

        class CountingPace:
            def wait(self):
                turns.append(len(server.received))

        server.say(500)
        server.say(200, {"audienceGroups": [AUDIENCE], "hasNextPage": True})
        server.say(200, NO_AUDIENCES)
        CALLS["list"](client_of(server.base_url, pace=CountingPace()))
        assert turns == [0, 1, 2]

    def test_requests_per_second_sets_the_pace(self, server, client_of, fake_time):
        client = client_of(server.base_url, pace=None, requests_per_second=0.01)
        for _ in range(3):
            server.say(200, {"jobs": []})
            CALLS["jobs"](client)
        assert fake_time.pauses == pytest.approx([100, 200], abs=20)


class TestWhatIsRefusedBeforeAnyRequest:
    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"audience_id": None}, "either an audience_id or the name"),
            ({"name": "VIP"}, "either an audience_id or the name"),
            ({"audience_id": None, "name": "x" * 121}, "1 to 120 characters"),
            ({"audience_id": None, "name": " "}, "1 to 120 characters"),
            ({"audience_id": ""}, "is not the id"),
            ({"file": io.BytesIO()}, "0 bytes"),
            ({"file": VirtualFile(FILE_SIZE_LIMIT // 65 + 1)}, "LINE takes 1 to 62,914,560"),
            ({"file_name": "会員.txt"}, "ASCII"),
            ({"file_name": "x" * 61 + ".txt"}, "64 ASCII"),
            ({"file_name": ""}, "ASCII"),
            ({"file_name": "a\r\n.txt"}, "ASCII"),
            ({"action": "REMOVE"}, "REMOVE"),
            ({"id_type": "EMAIL"}, "EMAIL"),
        ],
        ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
    )
    def test_an_upload_that_breaks_a_rule_of_the_api(self, server, scripted_client, changes, complaint):
        with pytest.raises(ValueError, match=complaint):
            upload(scripted_client, **changes)
        assert server.received == []

    def test_the_largest_upload_is_accepted(self, server, scripted_client):
        server.keeps_bodies = False
        server.say(202, AUDIENCE)
        upload(
            scripted_client,
            file=io.BytesIO(bytes(FILE_SIZE_LIMIT)),
            file_name="x" * 64,
            audience_id=None,
            name="会" * 120,
        )

    @pytest.mark.parametrize("count", [0, 5])
    def test_an_overlap_with_none_or_more_than_four(self, server, scripted_client, count):
        with pytest.raises(ValueError, match=f"1 to 4 audiences with one, not {count}"):
            scripted_client.overlap("A1", base_id="1", compared_ids=["2"] * count)
        assert server.received == []

    @pytest.mark.parametrize("empty", ["", " ", ".", ".."])
    def test_ids_that_would_ask_for_something_else(self, server, scripted_client, empty):
        with pytest.raises(ValueError, match="is not the id"):
            scripted_client.delete("A1", "77", empty)
        with pytest.raises(ValueError, match="is not the id"):
            scripted_client.upload_jobs(empty, "77")
        assert server.received == []

    def test_a_delete_of_nothing(self, scripted_client):
        with pytest.raises(ValueError, match="audience to delete"):
            scripted_client.delete("A1")

    @pytest.mark.parametrize("name", ["", "x" * 121])
    def test_a_rename_to_a_name_that_line_refuses(self, scripted_client, name):
        with pytest.raises(ValueError, match="1 to 120 characters"):
            scripted_client.rename("A1", "77", name=name)

    @pytest.mark.parametrize(
        "url", ["ads.line.me/api", "ftp://ads.line.me/api", "", "https://", "https://x/api?a=1"]
    )
    def test_a_base_url_that_is_none(self, url):
        with pytest.raises(InvalidBaseUrl, match="LINE_ADS_BASE_URL"):
            LineAdsClient(access_key="a", secret_key="s", base_url=url)

    @pytest.mark.parametrize(
        ("access_key", "secret_key", "missing"),
        [
            ("", "s", "LINE_ADS_ACCESS_KEY not set"),
            ("a", " \n", "LINE_ADS_SECRET_KEY not set"),
            ("", "", "LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY not set"),
        ],
    )
    def test_missing_keys(self, access_key, secret_key, missing):
        client = LineAdsClient(access_key=access_key, secret_key=secret_key)
        with pytest.raises(MissingCredentials, match=missing):
            client.__enter__()

    def test_a_call_without_opening_the_client(self):
        client = LineAdsClient(access_key="a", secret_key="s")
        with pytest.raises(RuntimeError, match="with LineAdsClient"):
            client.delete("A1", "77")


class TestWhatIsSaid:
    def test_each_request_is_logged_without_its_query(self, server, scripted_client, caplog):
        server.say(500)
        server.say(200, NO_AUDIENCES)
        server.say(None)
        with caplog.at_level(logging.INFO, "line_ads_pipeline.line_ads"):
            list(scripted_client.list_audiences("A1", name="VIP"))
            with pytest.raises(NetworkError):
                upload(scripted_client)
        messages = [
            record.getMessage()
            for record in caplog.records
            if record.name == "line_ads_pipeline.line_ads" and record.levelno == logging.INFO
        ]
        moments, lines = zip(*(message.split(" ", 1) for message in messages), strict=True)
        assert list(lines) == [
            "GET /api/v3/adaccounts/A1/custom-audiences 500",
            "GET /api/v3/adaccounts/A1/custom-audiences 200",
            f"POST {UPLOADS} no answer",
        ]
        assert datetime.fromisoformat(moments[0]).isoformat() == "2026-08-01T12:00:00+00:00"

    def test_nothing_tells_the_keys_the_token_or_the_file(self, server, scripted_client, caplog):
        secrets = ["an-access-key", "a-secret-key", "Bearer", "taro@example.com"]
        echo = b"<html>taro@example.com Bearer an-access-key a-secret-key"
        said = [repr(scripted_client)]
        for status in (None, 200, 302, 400, 401, 403, 404, 413, 500):
            server.say(status, echo)
        with caplog.at_level(logging.DEBUG):
            while server.answers:
                with pytest.raises(Exception, match="LINE") as caught:
                    upload(scripted_client, file=io.BytesIO(b"taro@example.com\n"))
                assert caught.value.__cause__ is None
                assert caught.value.__context__ is None
                said += [str(caught.value), repr(caught.value), repr(vars(caught.value))]
        said += [record.getMessage() for record in caplog.records]
        assert [secret for secret in secrets for text in said if secret in text] == []

    def test_a_clock_that_is_20_minutes_off_is_told(self, server, scripted_client, fake_time):
        server.say(401, Date="Sat, 01 Aug 2026 12:00:00 GMT")
        fake_time.now += timedelta(minutes=20)
        with pytest.raises(ClockSkew, match=r"authentication failed: .* 20 minutes ahead of LINE's"):
            CALLS["list"](scripted_client)

    def test_reasons_and_request_id_are_told(self, server, scripted_client):
        body = {"errors": [{"reason": "REQUIRED", "property": "action"}]}
        server.say(400, body, X_Request_Id="r-1")
        with pytest.raises(RejectedRequest, match=r"\(HTTP 400, REQUIRED \(action\), request id r-1\)"):
            upload(scripted_client)

    def test_a_repetition_is_announced(self, server, scripted_client, caplog):
        server.say(503)
        server.say(200, {"jobs": []})
        CALLS["jobs"](scripted_client)
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [re.sub(r"[\d.]+ seconds", "N seconds", w.getMessage())[:31] for w in warnings] == [
            "Next attempt in N seconds: LINE"
        ]

    def test_white_space_around_a_key_is_no_part_of_it(self, server, client_of):
        tokens = []
        for access_key, secret_key in [("a", "s"), (" a\n", "s\r\n")]:
            server.say(200, {"jobs": []})
            client = client_of(server.base_url, access_key=access_key, secret_key=secret_key)
            CALLS["jobs"](client)
            tokens.append(server.received[-1].headers["Authorization"])
        assert tokens[0] == tokens[1]
