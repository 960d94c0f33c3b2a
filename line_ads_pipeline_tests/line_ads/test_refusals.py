import inspect
import json
import pickle
from datetime import UTC, datetime

import httpx
import pytest

from line_ads_pipeline.line_ads import errors
from line_ads_pipeline.line_ads.errors import (
    AdAccountNotFound,
    AudienceNotFound,
    AudienceTypeMismatch,
    AuthenticationFailed,
    ClockSkew,
    LineAdsError,
    PermissionDenied,
    RateLimited,
    RejectedFile,
    RejectedRequest,
    ServerError,
    UnexpectedResponse,
)
from line_ads_pipeline.line_ads.refusals import Subject, refusal

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
ACCOUNT = Subject(ad_account_id="A1")
AUDIENCE = Subject(ad_account_id="A1", audience_id="77")
ADD = Subject(ad_account_id="A1", audience_id="77", action="ADD", id_type="IFA")
REPLACE = Subject(ad_account_id="A1", audience_id="77", action="REPLACE", id_type="IFA")
CREATE = Subject(ad_account_id="A1", action="REPLACE", id_type="HASHED_EMAIL")


def complaint(reason, place=None):
    return json.dumps({"errors": [{"reason": reason, "property": place}]}).encode()


def refused(status, body=b"", subject=ACCOUNT, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(httpx.Response(status, content=body, headers=names), subject, now=NOW)


@pytest.mark.parametrize(
    ("status", "body", "subject", "expected", "words"),
    [
        (401, b"", ACCOUNT, AuthenticationFailed, "authentication failed"),
        (400, complaint("AUTHORIZATION_FAILED"), ACCOUNT, AuthenticationFailed, "authentication failed"),
        (403, b"", ACCOUNT, PermissionDenied, "ad account A1 not found among those this access key may use"),
        (400, complaint("PARTNER_PERMISSION_DENIED"), ACCOUNT, PermissionDenied, "ad account A1 not found"),
        (400, complaint("ACCOUNT_NOT_ALLOWED"), ACCOUNT, PermissionDenied, "ad account A1 not found"),
        (400, complaint("INVALID_ACCOUNT_ID"), AUDIENCE, AdAccountNotFound, "ad account A1 not found"),
        (404, b"", ACCOUNT, AdAccountNotFound, "ad account A1 not found"),
        (404, b"", AUDIENCE, AudienceNotFound, "audience 77 not found in ad account A1"),
        (400, complaint("AUDIENCE_GROUP_NOT_FOUND", "id"), ADD, AudienceNotFound, "audience 77 not found"),
        (400, complaint("REMOVED_ENTITY"), AUDIENCE, AudienceNotFound, "audience 77 not found"),
        (400, complaint("INVALID_ENUM", "idType"), ADD, AudienceTypeMismatch, "identifier type IFA does not"),
        (
            400,
            complaint("INVALID_VALUE", "idType"),
            ADD,
            AudienceTypeMismatch,
            "identifier type IFA does not",
        ),
        (400, complaint("INVALID_VALUE", "name"), ADD, RejectedRequest, "audience 77 of ad account A1"),
        (400, complaint("INVALID_ENUM", "idType"), CREATE, RejectedRequest, "ad account A1"),
        (429, b"", ACCOUNT, RateLimited, "10 requests a second"),
        (429, b"", REPLACE, RateLimited, "REPLACE concurrency"),
        (400, complaint("EMPTY_FILE", "file"), ADD, RejectedFile, "rejected the file for audience 77"),
        (400, complaint("FILE_SIZE_LIMIT_EXCEEDED"), CREATE, RejectedFile, "max_records_per_upload"),
        (400, complaint("INVALID_FILE_CONTENT"), CREATE, RejectedFile, "one identifier a line"),
        (400, complaint("DECODING_FAILED"), ADD, RejectedFile, "rejected the file"),
        (400, complaint("REQUIRED", "file"), ADD, RejectedFile, "rejected the file"),
        (400, complaint("UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT"), ADD, RejectedFile, "rejected"),
        (400, complaint("UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS"), ADD, RejectedFile, "rejected"),
        (413, b"<html>too large", ADD, RejectedFile, "62,914,560 bytes"),
        (400, complaint("REQUIRED", "action"), ADD, RejectedRequest, "REQUIRED (action)"),
        (409, b"", ADD, RejectedRequest, "LINE refused a request for audience 77"),
        (400, complaint("AUDIENCE_GROUP_NAME_SIZE_OVER"), ADD, RejectedRequest, "1 to 120 characters"),
        (400, complaint("AUDIENCE_GROUP_NAME_DUPLICATE"), CREATE, RejectedRequest, "another audience_name"),
        (400, complaint("AUDIENCE_GROUP_COUNT_MAX_OVER"), CREATE, RejectedRequest, "as many audiences as"),
        (500, b"", ADD, ServerError, "LINE failed to process a request for audience 77"),
        (503, complaint("UNKNOWN"), ACCOUNT, ServerError, "UNKNOWN"),
        (301, b"", ACCOUNT, UnexpectedResponse, "LINE_ADS_BASE_URL"),
    ],
)
def test_each_refusal_is_told_apart(status, body, subject, expected, words):
    error = refused(status, body, subject)
    assert type(error) is expected
    assert words in str(error)
    assert f"HTTP {status}" in str(error)
    assert error.status_code == status
    assert error.may_have_taken_effect is (expected is ServerError)


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (b'{"errors": [{"reason": "REQUIRED", "property": "name"}]}', ("REQUIRED (name)",)),
        (b'[{"reason": "REQUIRED"}, {"reason": "INVALID_ENUM"}]', ("REQUIRED", "INVALID_ENUM")),
        (
            b'{"errors": [{"reason": "REQUIRED", "property": "items[0].name"}]}',
            ("REQUIRED (items[0].name)",),
        ),
        (b"", ()),
        (b"<html><body>Bad Gateway</body></html>", ()),
        (b"\xff\xfe", ()),
        (b"null", ()),
        (b'{"errors": "REQUIRED"}', ()),
        (b'{"errors": [null, 3, "REQUIRED", {}]}', ()),
        (b'{"errors": [{"reason": 5, "property": []}]}', ()),
        (b'[{"reason": "UNKNOWN", "property": null}, {"reason": null}]', ("UNKNOWN",)),
    ],
    ids=[
        "object",
        "bare list",
        "nested property",
        "empty",
        "html",
        "binary",
        "null",
        "no list",
        "no objects",
        "types",
        "nulls",
    ],
)
def test_any_body_of_a_refusal_is_understood_as_far_as_it_goes(body, reasons):
    error = refused(400, body)
    assert type(error) is RejectedRequest
    assert error.reasons == reasons


@pytest.mark.parametrize(
    "echoed",
    [
        "taro@example.com",
        "819012345678",
        "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b",
        "973DFE463EC85785F5F95AF5BA3906EEDB2D931C24E69824A89EA65DBA4E813B",
        "cdda802e-fb9c-47ad-9866-0794d394c912",
        "CDDA802E-FB9C-47AD-9866-0794D394C912",
    ],
)
def test_a_line_of_the_file_that_line_echoes_is_not_repeated(echoed):
    error = refused(
        400, json.dumps([{"reason": echoed}, {"reason": "INVALID_VALUE", "property": echoed}]).encode(), ADD
    )
    assert echoed not in str(error)
    assert echoed not in repr(vars(error))
    assert error.reasons == ("INVALID_VALUE",)


def test_the_request_id_is_part_of_the_message():
    error = refused(500, x_request_id="req-0815")
    assert error.request_id == "req-0815"
    assert "request id req-0815" in str(error)


def test_a_request_id_that_is_none_is_left_out():
    assert refused(500, x_request_id="taro@example.com").request_id is None


@pytest.mark.parametrize(
    ("date", "expected", "words"),
    [
        ("Sat, 01 Aug 2026 11:40:00 GMT", ClockSkew, "20 minutes ahead of"),
        ("Sat, 01 Aug 2026 12:20:00 GMT", ClockSkew, "20 minutes behind"),
        ("Sat, 01 Aug 2026 12:15:01 GMT", ClockSkew, "15 minutes behind"),
        ("Sat, 01 Aug 2026 12:15:00 GMT", AuthenticationFailed, "LINE_ADS_SECRET_KEY"),
        ("Sat, 01 Aug 2026 11:45:00 GMT", AuthenticationFailed, "LINE_ADS_SECRET_KEY"),
        ("no date at all", AuthenticationFailed, "LINE_ADS_SECRET_KEY"),
    ],
)
def test_a_401_says_how_far_the_clock_is_off_beyond_15_minutes(date, expected, words):
    error = refused(401, date=date)
    assert type(error) is expected
    assert "authentication failed" in str(error)
    assert words in str(error)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7),
        (" 1.5 ", None, 1.5),
        ("Sat, 01 Aug 2026 12:00:30 GMT", None, 30),
        ("Sat, 01 Aug 2026 12:20:30 GMT", "Sat, 01 Aug 2026 12:20:00 GMT", 30),
        ("Sat, 01 Aug 2026 11:00:00 GMT", None, 0),
        ("-3", None, None),
        ("soon", None, None),
        ("inf", None, None),
    ],
    ids=["seconds", "fraction", "date", "date by LINE's clock", "past", "negative", "words", "infinite"],
)
def test_retry_after_is_understood_in_every_form(value, date, seconds):
    headers = {"retry_after": value} | ({"date": date} if date else {})
    assert refused(503, **headers).retry_after == seconds


ERROR_CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, LineAdsError) and each is not LineAdsError
]


@pytest.mark.parametrize("error_class", ERROR_CLASSES)
def test_every_error_has_a_remedy_of_its_own_and_stands_in_the_tree(error_class):
    assert "remedy" in vars(error_class)
    assert str(error_class("something")).endswith(f"something. {error_class.remedy}")
    assert f"{error_class.__name__}\n" in errors.__doc__


def test_an_error_survives_pickling_as_executors_do_it():
    error = refused(429, subject=REPLACE, retry_after="3", x_request_id="r-1")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
