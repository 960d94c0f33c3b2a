from datetime import UTC, datetime, timedelta, timezone

import pytest

from line_ads_pipeline.line_ads import FUNCTION_TYPES, CustomAudience, UploadJob
from line_ads_pipeline.line_ads.models import (
    AudiencePage,
    FieldError,
    overlap_from_json,
    upload_jobs_from_json,
)

AUDIENCE = {
    "id": "5343822743474",
    "name": "VIP",
    "functionType": "HASHED_EMAIL_UPLOAD",
    "status": "READY",
    "estimatedAudienceSize": "1,234",
    "created": "2026-08-01T09:30:00Z",
}
JOB = {
    "audienceGroupId": "5343822743474",
    "audienceGroupJobId": 77,
    "name": "a.txt",
    "type": "DIFF_REPLACE",
    "jobStatus": "FINISHED",
    "audienceCount": 12,
    "created": "2026-08-01T18:30:00+09:00",
}


def test_an_audience_is_read_whole():
    assert CustomAudience.from_json(AUDIENCE) == CustomAudience(
        id="5343822743474",
        name="VIP",
        function_type="HASHED_EMAIL_UPLOAD",
        status="READY",
        estimated_size=1234,
        estimated_size_text="1,234",
        created=datetime(2026, 8, 1, 9, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1234", 1234),
        ("1,234", 1234),
        ("0", 0),
        (1234, 1234),
        ("-", None),
        ("100 or fewer", None),
        (None, None),
    ],
    ids=str,
)
def test_the_size_is_a_number_only_where_line_gives_an_exact_one(text, size):
    audience = CustomAudience.from_json({**AUDIENCE, "estimatedAudienceSize": text})
    assert audience.estimated_size == size
    assert audience.estimated_size_text == (None if text is None else str(text))


def test_values_that_line_adds_later_survive():
    new = {"status": "HIBERNATING", "functionType": "TELEPATHY", "failedType": "TOO_TIRED"}
    audience = CustomAudience.from_json({**AUDIENCE, **new, "unheard": {"of": 1}})
    assert (audience.status, audience.function_type, audience.failed_type) == tuple(new.values())


@pytest.mark.parametrize("field", ["id", "name", "functionType", "status"])
@pytest.mark.parametrize("broken", [None, "", {}, True], ids=["null", "empty", "object", "boolean"])
def test_an_audience_without_a_field_it_always_has_is_an_error_that_names_it(field, broken):
    with pytest.raises(FieldError, match=field):
        CustomAudience.from_json({**AUDIENCE, field: broken})


def test_a_time_without_zone_is_taken_as_utc():
    audience = CustomAudience.from_json({**AUDIENCE, "created": "2026-08-01T09:30:00"})
    assert audience.created == datetime(2026, 8, 1, 9, 30, tzinfo=UTC)


def test_a_time_that_is_none_is_an_error_that_does_not_quote_it():
    with pytest.raises(FieldError, match="created is not a time") as caught:
        CustomAudience.from_json({**AUDIENCE, "created": "yesterday"})
    assert "yesterday" not in str(caught.value)


def test_a_job_is_read_whole():
    assert UploadJob.from_json(JOB) == UploadJob(
        id="77",
        audience_id="5343822743474",
        name="a.txt",
        type="DIFF_REPLACE",
        status="FINISHED",
        audience_count=12,
        created=datetime(2026, 8, 1, 18, 30, tzinfo=timezone(timedelta(hours=9))),
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("QUEUED", "running"),
        ("WORKING", "running"),
        ("FINISHED", "finished"),
        ("FAILED", "failed"),
        ("ALMOST_THERE", "running"),
    ],
)
def test_a_job_is_in_exactly_one_state_and_running_in_a_status_nobody_has_listed(status, state):
    job = UploadJob.from_json({**JOB, "jobStatus": status})
    states = {"running": job.is_running, "finished": job.is_finished, "failed": job.is_failed}
    assert [name for name, holds in states.items() if holds] == [state]


@pytest.mark.parametrize("field", ["audienceGroupId", "audienceGroupJobId", "jobStatus"])
def test_a_job_without_a_field_it_always_has_is_an_error_that_names_it(field):
    with pytest.raises(FieldError, match=field):
        UploadJob.from_json({**JOB, field: None})


def test_a_job_may_lack_what_line_may_leave_out():
    job = UploadJob.from_json({"audienceGroupId": "5", "audienceGroupJobId": "6", "jobStatus": "QUEUED"})
    assert job == UploadJob(id="6", audience_id="5", status="QUEUED")


def test_a_count_that_is_none_is_an_error():
    with pytest.raises(FieldError, match="audienceCount"):
        UploadJob.from_json({**JOB, "audienceCount": "many"})


@pytest.mark.parametrize(
    ("read", "answer", "complaint"),
    [
        (upload_jobs_from_json, [], "object"),
        (upload_jobs_from_json, {"jobs": None}, "jobs"),
        (AudiencePage.from_json, {"audienceGroups": []}, "hasNextPage"),
        (AudiencePage.from_json, {"hasNextPage": False}, "audienceGroups"),
        (AudiencePage.from_json, {"hasNextPage": True, "audienceGroups": []}, "page is empty"),
        (overlap_from_json, {}, "object"),
        (overlap_from_json, {"estimations": {"1": {}}}, "rate"),
        (overlap_from_json, {"estimations": {"1": {"rate": "0.1"}}}, "rate"),
    ],
)
def test_an_answer_of_another_shape_is_an_error(read, answer, complaint):
    with pytest.raises(FieldError, match=complaint):
        read(answer)


def test_each_identifier_type_has_its_own_function_type():
    assert FUNCTION_TYPES == {
        "IFA": "UPLOAD",
        "HASHED_EMAIL": "HASHED_EMAIL_UPLOAD",
        "HASHED_PHONE_NUMBER": "HASHED_PHONE_NUMBER_UPLOAD",
    }
