"""A file is accepted only when each row is an identifier of its type, and nothing else is in it."""

import pytest

from line_ads_pipeline.simulator.identifier_file import MAX_BYTES, MAX_ROWS, read_identifiers
from line_ads_pipeline.simulator.records import Refusal

HASH = "0123456789abcdef" * 4
OTHER = "f" * 64
UUID = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
FORMAT = "UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT"


def read(content, *, id_type="HASHED_EMAIL", accept_hashed_ifa=False):
    return read_identifiers(content, id_type=id_type, accept_hashed_ifa=accept_hashed_ifa)


@pytest.mark.parametrize("id_type", ["HASHED_EMAIL", "HASHED_PHONE_NUMBER"])
def test_hashes_are_64_lower_case_hex_digits(id_type):
    file = read(f"{HASH}\n{OTHER}\n{HASH}\n".encode(), id_type=id_type)
    assert file.row_count == 3
    assert file.identifiers == {HASH, OTHER}


def test_ifas_are_uuids_in_any_case_and_kept_as_they_are():
    file = read(f"{UUID}\n{UUID.lower()}\n".encode(), id_type="IFA")
    assert file.identifiers == {UUID, UUID.lower()}


def test_hashed_ifas_are_accepted_only_on_request():
    content = f"{UUID}\n{HASH}\n".encode()
    assert read(content, id_type="IFA", accept_hashed_ifa=True).row_count == 2
    with pytest.raises(Refusal, match="row 2 is not a valid IFA"):
        read(content, id_type="IFA")


REFUSED = {
    "empty": (b"", "HASHED_EMAIL", "EMPTY_FILE"),
    "byte order mark": (f"\ufeff{HASH}\n".encode(), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "CRLF": (f"{HASH}\r\n".encode(), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "CR": (f"{HASH}\r{HASH}\n".encode(), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "no last newline": (f"{HASH}\n{OTHER}".encode(), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "upper-case hash": (f"{HASH}\n{HASH.upper()}\n".encode(), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "UTF-16": (f"{HASH}\n".encode("utf-16-le"), "HASHED_EMAIL", "INVALID_FILE_CONTENT"),
    "Shift JIS": ("山田\n".encode("shift_jis"), "HASHED_EMAIL", "DECODING_FAILED"),
    "one digit too few": (f"{HASH[1:]}\n".encode(), "HASHED_EMAIL", FORMAT),
    "one digit too many": (f"{HASH}0\n".encode(), "HASHED_EMAIL", FORMAT),
    "no hex": (f"{HASH[1:]}g\n".encode(), "HASHED_EMAIL", FORMAT),
    "header": (f"email\n{HASH}\n".encode(), "HASHED_EMAIL", FORMAT),
    "blank row": (f"{HASH}\n\n{OTHER}\n".encode(), "HASHED_EMAIL", FORMAT),
    "only a newline": (b"\n", "HASHED_EMAIL", FORMAT),
    "space around": (f" {HASH}\n".encode(), "HASHED_EMAIL", FORMAT),
    "raw e-mail": (b"someone@example.com\n", "HASHED_EMAIL", FORMAT),
    "IFA as e-mail": (f"{UUID}\n".encode(), "HASHED_EMAIL", FORMAT),
    "hash as IFA": (f"{HASH}\n".encode(), "IFA", FORMAT),
    "IFA without hyphens": (f"{UUID.replace('-', '')}\n".encode(), "IFA", FORMAT),
    "IFA in braces": (f"{{{UUID}}}\n".encode(), "IFA", FORMAT),
}


@pytest.mark.parametrize(("content", "id_type", "reason"), REFUSED.values(), ids=REFUSED)
def test_anything_else_refuses_the_whole_file(content, id_type, reason):
    with pytest.raises(Refusal) as refused:
        read(content, id_type=id_type)
    assert (refused.value.status, refused.value.reason, refused.value.field) == (400, reason, "file")
    assert refused.value.rule == "invalid_file"


def test_the_refusal_tells_the_row_but_not_what_is_in_it():
    with pytest.raises(Refusal, match=r"^row 3 is not a valid HASHED_EMAIL$"):
        read(f"{HASH}\n{OTHER}\nsomeone@example.com\n{HASH}\n".encode())


def test_62_914_560_bytes_are_the_limit():
    """967,916 rows of a hash and a newline fit, one more does not."""
    row_count = MAX_BYTES // 65
    assert row_count == 967_916
    assert read(f"{HASH}\n".encode() * row_count).row_count == row_count
    with pytest.raises(Refusal) as refused:
        read(f"{HASH}\n".encode() * (row_count + 1))
    assert refused.value.reason == "FILE_SIZE_LIMIT_EXCEEDED"


@pytest.mark.parametrize(("excess", "reason"), [(0, "INVALID_FILE_CONTENT"), (1, "FILE_SIZE_LIMIT_EXCEEDED")])
def test_the_size_limit_is_exact_to_the_byte(excess, reason):
    with pytest.raises(Refusal) as refused:
        read(b"0" * (MAX_BYTES + excess))
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("excess", "reason"), [(0, FORMAT), (1, "UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS")]
)
def test_1_500_000_rows_are_the_limit(excess, reason):
    with pytest.raises(Refusal) as refused:
        read(b"\n" * (MAX_ROWS + excess), id_type="IFA")
    assert refused.value.reason == reason


def test_1_500_000_rows_pass():
    assert read(f"{UUID}\n".encode() * MAX_ROWS, id_type="IFA").row_count == MAX_ROWS
