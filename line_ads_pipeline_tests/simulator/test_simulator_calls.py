"""Each call answers in the documented shape, and refuses what is documented to be wrong."""

import json

import pytest

OTHER_ACCOUNT = "A10000000002"


def errors(response):
    return response.status_code, [
        (error["reason"], error.get("property")) for error in response.json()["errors"]
    ]


def test_the_first_upload_makes_the_audience(line):
    response = line.upload(name="VIP 顧客")
    assert response.status_code == 202
    audience = response.json()
    assert audience == {
        "id": audience["id"],
        "name": "VIP 顧客",
        "functionType": "HASHED_EMAIL_UPLOAD",
        "status": "IN_PROGRESS",
        "failedType": None,
        "estimatedAudienceSize": "-",
        "created": "2026-08-03T01:02:03Z",
    }
    assert len(audience["id"]) == 13
    assert audience["id"].isdigit()
    assert line.listing().json()["audienceGroups"] == [
        audience | {"status": "READY", "estimatedAudienceSize": "100 or fewer"}
    ]


@pytest.mark.parametrize(
    ("id_type", "function_type", "identifier"),
    [
        ("HASHED_EMAIL", "HASHED_EMAIL_UPLOAD", "a" * 64),
        ("HASHED_PHONE_NUMBER", "HASHED_PHONE_NUMBER_UPLOAD", "b" * 64),
        ("IFA", "UPLOAD", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
    ],
)
def test_each_identifier_type_has_its_function_type(line, id_type, function_type, identifier):
    audience_id = line.create(identifier, idType=id_type)
    [audience] = line.simulator.audiences()
    assert audience.function_type == function_type
    assert line.simulator.members(audience_id) == {identifier}


def test_add_adds_and_replace_replaces(line, spec):
    a, b, c, d = spec.hashed("a", "b", "c", "d")
    audience_id = line.create(a, b)
    line.upload(spec.rows(b, c), id=audience_id)
    assert line.simulator.members(audience_id) == {a, b, c}
    line.upload(spec.rows(d), id=audience_id, action="REPLACE")
    assert line.simulator.members(audience_id) == {d}
    assert line.rules() == []


def test_a_new_audience_may_be_made_by_replace_too(line, spec):
    audience_id = line.create(*spec.hashed("a"), action="REPLACE")
    assert line.simulator.members(audience_id) == set(spec.hashed("a"))


@pytest.mark.parametrize(
    ("count", "size"), [(1, "100 or fewer"), (100, "100 or fewer"), (101, "101"), (1204, "1204")]
)
def test_the_size_is_a_string(line, spec, count, size):
    line.create(*spec.hashed(*range(count)))
    [audience] = line.listing().json()["audienceGroups"]
    assert audience["estimatedAudienceSize"] == size


def test_an_audience_of_nobody_has_no_size(line):
    line.simulator.add_audience("A10000000001", name="nobody")
    assert line.listing().json()["audienceGroups"][0]["estimatedAudienceSize"] == "-"


def test_jobs_take_their_time_and_members_change_at_the_end(start, clock, spec):
    line = start(job_seconds=100)
    audience_id = line.create(*spec.hashed("a", "a", "b"))
    seen = []
    for _ in range(5):
        [job] = line.jobs(audience_id)
        [audience] = line.simulator.audiences()
        seen.append(
            (
                job["jobStatus"],
                job["audienceCount"],
                audience.status,
                len(line.simulator.members(audience_id)),
            )
        )
        clock.advance(25)
    assert seen == [
        ("QUEUED", None, "IN_PROGRESS", 0),
        ("WORKING", None, "IN_PROGRESS", 0),
        ("WORKING", None, "IN_PROGRESS", 0),
        ("WORKING", None, "IN_PROGRESS", 0),
        ("FINISHED", 3, "READY", 2),
    ]


def test_an_audience_stays_ready_while_later_uploads_are_processed(start, clock):
    line = start(job_seconds=10)
    audience_id = line.create()
    clock.advance(10)
    line.upload(id=audience_id)
    assert line.listing().json()["audienceGroups"][0]["status"] == "READY"
    assert line.job_statuses(audience_id) == ["QUEUED", "FINISHED"]


def test_upload_jobs_have_the_documented_fields_and_the_files_name(line, clock):
    audience_id = line.create(action="REPLACE")
    clock.advance(5)
    line.upload(id=audience_id, file_name="s1-0002-of-0002.txt")
    newest, oldest = line.jobs(audience_id)
    assert oldest == {
        "audienceGroupId": audience_id,
        "audienceGroupJobId": oldest["audienceGroupJobId"],
        "name": "people.txt",
        "type": "DIFF_REPLACE",
        "jobStatus": "FINISHED",
        "failedType": None,
        "audienceCount": 1,
        "created": "2026-08-03T01:02:03Z",
    }
    assert (newest["name"], newest["type"], newest["created"]) == (
        "s1-0002-of-0002.txt",
        "DIFF_ADD",
        "2026-08-03T01:02:08Z",
    )
    assert newest["audienceGroupJobId"] != oldest["audienceGroupJobId"]


def test_a_quote_and_other_letters_survive_in_a_file_name(line):
    audience_id = line.create(name="people")
    line.upload(id=audience_id, file_name="顧客 1.txt")
    assert line.jobs(audience_id)[0]["name"] == "顧客 1.txt"


def test_an_upload_while_a_job_is_unfinished_is_accepted_but_breaks_a_rule(start, clock):
    line = start(job_seconds=10)
    audience_id = line.create()
    assert line.upload(id=audience_id).status_code == 202
    assert line.rules() == ["parallel_upload"]
    clock.advance(10)
    assert line.upload(id=audience_id).status_code == 202
    assert line.rules() == ["parallel_upload"]


def test_two_audiences_may_have_the_same_name(line):
    assert line.create(name="twins") != line.create(name="twins")
    assert line.names(name="twins") == ["twins", "twins"]
    assert line.rules() == []


UPLOADS = {
    "neither id nor name": ({}, "REQUIRED", "name"),
    "both id and name": ({"id": "{id}", "name": "x"}, "INVALID_VALUE", "name"),
    "empty name": ({"name": ""}, "AUDIENCE_GROUP_NAME_EMPTY", "name"),
    "blank name": ({"name": " \u3000"}, "AUDIENCE_GROUP_NAME_EMPTY", "name"),
    "121 characters": ({"name": "顧" * 121}, "AUDIENCE_GROUP_NAME_SIZE_OVER", "name"),
    "control character": ({"name": "a\x07b"}, "AUDIENCE_GROUP_NAME_WRONG", "name"),
    "unknown action": ({"name": "x", "action": "REMOVE"}, "INVALID_ENUM", "action"),
    "lower-case action": ({"name": "x", "action": "add"}, "INVALID_ENUM", "action"),
    "unknown idType": ({"name": "x", "idType": "EMAIL"}, "INVALID_ENUM", "idType"),
    "another type": ({"id": "{id}", "idType": "HASHED_PHONE_NUMBER"}, "INVALID_VALUE", "idType"),
}


@pytest.mark.parametrize(("fields", "reason", "wrong"), UPLOADS.values(), ids=UPLOADS)
def test_an_upload_with_wrong_fields_is_refused(line, fields, reason, wrong):
    audience_id = line.create()
    response = line.upload(**{name: value.replace("{id}", audience_id) for name, value in fields.items()})
    assert errors(response) == (400, [(reason, wrong)])
    assert len(line.simulator.jobs(audience_id)) == len(line.simulator.audiences()) == 1
    assert line.rules() == [
        "identifier_type" if reason == "INVALID_VALUE" and wrong == "idType" else "invalid_request"
    ]


def test_a_name_may_have_120_characters(line):
    assert line.upload(name="顧" * 120).status_code == 202


@pytest.mark.parametrize("missing", ["action", "idType", "file"])
def test_an_upload_without_a_field_is_refused(line, missing):
    parts = {
        "name": (None, "people"),
        "action": (None, "ADD"),
        "idType": (None, "HASHED_EMAIL"),
        "file": ("people.txt", f"{'a' * 64}\n"),
    }
    del parts[missing]
    assert errors(line.http.post(line.url("/upload"), files=parts)) == (400, [("REQUIRED", missing)])


def test_a_file_without_a_name_is_no_file(line):
    parts = {
        name: (None, value)
        for name, value in {"name": "x", "action": "ADD", "idType": "IFA", "file": "x"}.items()
    }
    assert errors(line.http.post(line.url("/upload"), files=parts)) == (400, [("REQUIRED", "file")])


def test_a_bad_file_changes_nothing(line):
    assert errors(line.upload(b"someone@example.com\n", name="people")) == (
        400,
        [("UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT", "file")],
    )
    assert line.simulator.audiences() == ()
    assert line.rules() == ["invalid_file"]


def test_hashed_ifas_are_accepted_when_the_simulator_is_told_so(start, spec):
    fields = {"name": "phones", "idType": "IFA"}
    assert start().upload(spec.rows(*spec.hashed("a")), **fields).status_code == 400
    assert start(accept_hashed_ifa=True).upload(spec.rows(*spec.hashed("a")), **fields).status_code == 202


def test_a_file_of_60_mib_is_uploaded(line, spec):
    [row] = spec.hashed("a")
    assert line.upload(spec.rows(row) * 967_916, name="many").status_code == 202
    assert line.simulator.requests[-1].row_count == 967_916
    assert errors(line.upload(spec.rows(row) * 967_917, name="too many")) == (
        400,
        [("FILE_SIZE_LIMIT_EXCEEDED", "file")],
    )
    assert line.names() == ["many"]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
BODIES = {
    "no boundary": (b"--b--\r\n", {"Content-Type": "multipart/form-data"}, "DECODING_FAILED"),
    "cut off": (
        b'--b\r\nContent-Disposition: form-data; name="action"\r\n\r\nADD',
        MULTIPART,
        "DECODING_FAILED",
    ),
    "not multipart": (b"hello", MULTIPART, "DECODING_FAILED"),
    "nameless part": (
        b"--b\r\nContent-Disposition: form-data\r\n\r\nADD\r\n--b--\r\n",
        MULTIPART,
        "DECODING_FAILED",
    ),
    "name twice": (
        b'--b\r\nContent-Disposition: form-data; name="action"\r\n\r\nADD\r\n' * 2 + b"--b--\r\n",
        MULTIPART,
        "DECODING_FAILED",
    ),
    "JSON": (b"{}", {"Content-Type": "application/json"}, "INVALID_CONTENT_TYPE_HEADER"),
}


@pytest.mark.parametrize(("content", "headers", "reason"), BODIES.values(), ids=BODIES)
def test_an_upload_must_be_well_formed_multipart(line, content, headers, reason):
    response = line.http.post(line.url("/upload"), content=content, headers=headers)
    assert errors(response) == (400, [(reason, None)])


def test_the_list_is_paged(line, clock):
    for number in range(5):
        line.simulator.add_audience("A10000000001", name=f"people {number}")
        clock.advance(1)
    pages = [line.listing(page=page, size=2).json() for page in (1, 2, 3, 4)]
    assert [[audience["name"][-1] for audience in page["audienceGroups"]] for page in pages] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
        [],
    ]
    assert [page["hasNextPage"] for page in pages] == [True, True, False, False]
    assert {(page["totalElements"], page["size"]) for page in pages} == {(5, 2)}
    assert [page["page"] for page in pages] == [1, 2, 3, 4]


def test_a_full_last_page_has_no_next_page(line):
    for name in "abcd":
        line.simulator.add_audience("A10000000001", name=name)
    assert [line.listing(page=page, size=2).json()["hasNextPage"] for page in (1, 2)] == [True, False]


def test_a_page_has_100_audiences_unless_asked_otherwise(line):
    for number in range(101):
        line.simulator.add_audience("A10000000001", name=str(number))
    page = line.listing().json()
    assert (len(page["audienceGroups"]), page["size"], page["page"], page["hasNextPage"]) == (
        100,
        100,
        1,
        True,
    )


def test_the_list_is_sorted_by_creation_newest_first_or_as_asked(line, clock):
    for name in "abc":
        line.simulator.add_audience("A10000000001", name=name)
        clock.advance(1)
    assert line.names() == line.names(sortKey="created", sortOrder="desc") == ["c", "b", "a"]
    assert line.names(sortOrder="asc") == ["a", "b", "c"]


def test_the_name_is_a_search(line):
    for name in ("VIP", "vip customers", "people"):
        line.simulator.add_audience("A10000000001", name=name)
    assert sorted(line.names(name="vip")) == ["VIP", "vip customers"]


QUERIES = {
    "page 0": ({"page": 0}, "INVALID_VALUE", "page"),
    "page of letters": ({"page": "one"}, "INVALID_VALUE", "page"),
    "size 0": ({"size": 0}, "INVALID_VALUE", "size"),
    "size 101": ({"size": 101}, "INVALID_VALUE", "size"),
    "sort key": ({"sortKey": "mood"}, "INVALID_ENUM", "sortKey"),
    "sort order": ({"sortOrder": "DESC"}, "INVALID_ENUM", "sortOrder"),
}


@pytest.mark.parametrize(("query", "reason", "wrong"), QUERIES.values(), ids=QUERIES)
def test_a_wrong_query_is_refused(line, query, reason, wrong):
    assert errors(line.listing(**query)) == (400, [(reason, wrong)])


def test_rename(line):
    audience_id = line.create(name="before")
    response = line.http.post(line.url(f"/{audience_id}"), json={"name": "after"})
    assert response.status_code == 200
    assert (response.json()["id"], response.json()["name"]) == (audience_id, "after")
    assert line.names() == ["after"]


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (json.dumps({"name": ""}), "application/json", "AUDIENCE_GROUP_NAME_EMPTY"),
        (json.dumps({"name": "x" * 121}), "application/json", "AUDIENCE_GROUP_NAME_SIZE_OVER"),
        (json.dumps({}), "application/json", "REQUIRED"),
        (json.dumps({"name": 7}), "application/json", "REQUIRED"),
        ("[]", "application/json", "DECODING_FAILED"),
        ("{", "application/json", "DECODING_FAILED"),
        (json.dumps({"name": "x"}), "text/plain", "INVALID_CONTENT_TYPE_HEADER"),
    ],
    ids=["empty", "too long", "missing", "number", "list", "not JSON", "text"],
)
def test_a_wrong_rename_is_refused(line, content, content_type, reason):
    audience_id = line.create(name="before")
    response = line.http.post(
        line.url(f"/{audience_id}"), content=content, headers={"Content-Type": content_type}
    )
    assert errors(response)[0] == 400
    assert response.json()["errors"][0]["reason"] == reason
    assert line.names() == ["before"]


def test_delete_takes_one_or_several_ids(line):
    first, second, third = (line.create(name=name) for name in "abc")
    assert line.http.delete(line.url(f"/{first}")).status_code == 202
    assert line.names() == ["c", "b"]
    assert line.http.delete(line.url(f"/{second},{third}")).status_code == 202
    assert line.names() == []
    assert line.rules() == []


def test_delete_deletes_all_or_none(line):
    audience_id = line.create()
    assert line.http.delete(line.url(f"/{audience_id},5300000009999")).status_code == 404
    assert len(line.simulator.audiences()) == 1


def test_overlap_is_the_share_of_the_base(line, spec):
    base = line.create(*spec.hashed(*"abcd"))
    same, half, none = (line.create(*spec.hashed(*people)) for people in ("abcd", "abxyz", "xyz"))
    body = {"baseId": base, "comparedIds": [same, half, none]}
    response = line.http.post(line.url("/overlapping-audiences"), json=body)
    assert response.status_code == 200
    assert response.json() == {"estimations": {same: {"rate": 1.0}, half: {"rate": 0.5}, none: {"rate": 0.0}}}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"comparedIds": []}, "comparedIds"),
        ({"comparedIds": ["1", "2", "3", "4", "5"]}, "comparedIds"),
        ({"comparedIds": "1"}, "comparedIds"),
        ({"baseId": None}, "baseId"),
    ],
    ids=["none", "five", "no list", "no base"],
)
def test_overlap_compares_one_to_four_audiences(line, change, wrong):
    audience_id = line.create()
    body = {"baseId": audience_id, "comparedIds": [audience_id]}
    assert line.http.post(line.url("/overlapping-audiences"), json=body).status_code == 200
    response = line.http.post(line.url("/overlapping-audiences"), json=body | change)
    assert errors(response)[0] == 400
    assert response.json()["errors"][0]["property"] == wrong


def requests_for(line, audience_id):
    overlap = line.url("/overlapping-audiences")
    yield line.http.get(line.url(f"/{audience_id}/upload-job"))
    yield line.http.post(line.url(f"/{audience_id}"), json={"name": "x"})
    yield line.http.delete(line.url(f"/{audience_id}"))
    yield line.upload(id=audience_id)
    yield line.http.post(overlap, json={"baseId": audience_id, "comparedIds": [audience_id]})


def test_asking_for_an_id_that_does_not_exist_is_refused_and_breaks_a_rule(line):
    for response in requests_for(line, "5300000009999"):
        assert errors(response) == (404, [("AUDIENCE_GROUP_NOT_FOUND", None)])
    assert line.rules() == ["unknown_audience"] * 5


def test_a_deleted_audience_does_not_exist(line):
    audience_id = line.create()
    line.simulator.remove_audience(audience_id)
    assert {response.status_code for response in requests_for(line, audience_id)} == {404}


def test_an_audience_of_another_ad_account_does_not_exist(line):
    audience_id = line.simulator.add_audience(OTHER_ACCOUNT, name="theirs")
    assert {response.status_code for response in requests_for(line, audience_id)} == {404}
    assert line.names() == []
    assert len(line.simulator.audiences()) == 1


def test_an_expired_audience_takes_no_upload_but_is_listed(line):
    audience_id = line.create()
    line.simulator.set_status(audience_id, "EXPIRED")
    assert errors(line.upload(id=audience_id)) == (400, [("REMOVED_ENTITY", "id")])
    assert line.listing().json()["audienceGroups"][0]["status"] == "EXPIRED"


def test_an_audience_that_expires_while_a_file_is_under_way_does_not_take_it(line, spec):
    audience_id = line.create(*spec.hashed("a"))
    fields = {"id": audience_id, "action": "ADD", "idType": "HASHED_EMAIL"}
    files = {"file": ("people.txt", spec.rows(*spec.hashed("b")))}
    upload = line.http.build_request("POST", line.url("/upload"), data=fields, files=files)
    whole = upload.read()

    def body():
        yield whole[:-100]
        spec.wait_until(lambda: line.simulator.requests[-1].audience_id == audience_id)
        line.simulator.set_status(audience_id, "EXPIRED")
        yield whole[-100:]

    headers = {"Content-Type": upload.headers["Content-Type"]}
    answer = line.http.post(line.url("/upload"), content=body(), headers=headers)
    assert errors(answer) == (400, [("REMOVED_ENTITY", "id")])
    assert line.simulator.members(audience_id) == set(spec.hashed("a"))


def test_a_job_that_ends_does_not_revive_an_expired_audience(start, clock):
    line = start(job_seconds=10)
    audience_id = line.create()
    line.simulator.set_status(audience_id, "EXPIRED")
    clock.advance(10)
    assert [audience.status for audience in line.simulator.audiences()] == ["EXPIRED"]


def test_an_audience_that_holds_no_uploads_takes_none(line):
    audience_id = line.simulator.add_audience("A10000000001", name="alike", function_type="LOOKALIKE")
    assert errors(line.upload(id=audience_id)) == (400, [("INVALID_VALUE", "idType")])


def test_a_failed_audience_is_listed_with_its_reason(line):
    audience_id = line.create()
    line.simulator.set_status(audience_id, "FAILED", "INTERNAL_ERROR")
    [audience] = line.listing().json()["audienceGroups"]
    assert (audience["status"], audience["failedType"]) == ("FAILED", "INTERNAL_ERROR")


def test_another_ad_account_is_refused_with_403(line):
    assert errors(line.http.get(line.url(ad_account="A99999999999"))) == (
        403,
        [("ACCOUNT_NOT_ALLOWED", None)],
    )
    assert errors(line.upload(name="people", ad_account="A99999999999")) == (
        403,
        [("ACCOUNT_NOT_ALLOWED", None)],
    )
    assert line.rules() == ["ad_account"] * 2


def test_access_can_be_withdrawn_and_given_back(start):
    line = start(job_seconds=0)
    line.create(name="people")
    line.simulator.revoke_access("A10000000001")
    assert errors(line.listing()) == (403, [("ACCOUNT_NOT_ALLOWED", None)])
    assert line.http.get(line.url(ad_account=OTHER_ACCOUNT)).status_code == 200
    with pytest.raises(KeyError, match="A10000000001"):
        line.simulator.revoke_access("A10000000001")
    line.simulator.grant_access("A10000000001")
    line.simulator.grant_access("A10000000001")
    assert line.names() == ["people"]
    line.simulator.revoke_access("A10000000001")
    assert line.listing().status_code == 403


def test_the_ad_accounts_are_those_the_simulator_was_given(start):
    line = start(ad_account_ids=["A1"])
    assert line.http.get(line.url(ad_account="A1")).status_code == 200
    assert line.listing().status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/upload"), ("POST", ""), ("GET", "/5300000000001"), ("GET", "/a/b/c"), ("PATCH", "")],
    ids=lambda value: value or "list",
)
def test_a_path_or_method_that_is_not_listed_is_refused(line, method, path):
    """The create call is for other audiences; one of uploaded identifiers is made by its first upload."""
    assert line.http.request(method, line.url(path)).status_code == 404
    assert line.rules() == ["unknown_endpoint"]


def test_what_is_not_listed_must_be_signed_too(line):
    assert line.http.get(f"{line.simulator.base_url}/v2", auth=None).status_code == 401


def test_requests_are_recorded_as_they_arrived(line, clock):
    audience_id = line.create(action="REPLACE")
    clock.advance(1)
    line.listing(name="x")
    uploaded, listed = line.simulator.requests
    assert (uploaded.method, uploaded.call, uploaded.action, uploaded.id_type) == (
        "POST",
        "upload",
        "REPLACE",
        "HASHED_EMAIL",
    )
    assert (uploaded.file_name, uploaded.row_count, uploaded.audience_id) == ("people.txt", 1, audience_id)
    assert uploaded.job_id == line.simulator.jobs(audience_id)[0].id
    assert (listed.number, listed.path, listed.query) == (
        2,
        "/api/v3/adaccounts/A10000000001/custom-audiences",
        "name=x",
    )
    assert (listed.status, listed.time, listed.answered_at, listed.job_id) == (200, clock(), clock(), None)
