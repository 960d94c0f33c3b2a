"""What an uploaded file may look like: one identifier per line, and nothing else."""

import re
from dataclasses import dataclass
from typing import Literal

from line_ads_pipeline.simulator.records import Refusal

IdType = Literal["IFA", "HASHED_EMAIL", "HASHED_PHONE_NUMBER"]

MAX_BYTES = 62_914_560
MAX_ROWS = 1_500_000

_HASH = rb"[0-9a-f]{64}"
_UUID = rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_BOM = b"\xef\xbb\xbf"


def _rows(row: bytes) -> re.Pattern[bytes]:
    # Possessive: a million repetitions that can be given up again would fill the memory.
    return re.compile(rb"(?:(?:%s)\n)*+" % row)


_HASHES = _rows(_HASH)
_IFAS = _rows(_UUID)
_IFAS_OR_HASHES = _rows(_UUID + rb"|" + _HASH)
_UPPER_CASE_HASH = re.compile(rb"[0-9A-Fa-f]{64}\n")


@dataclass(frozen=True)
class IdentifierFile:
    """The content of an accepted file: how many rows it had, and its distinct identifiers."""

    row_count: int
    identifiers: frozenset[str]


def read_identifiers(
    content: bytes | bytearray, *, id_type: IdType, accept_hashed_ifa: bool
) -> IdentifierFile:
    """Check a whole file and take its identifiers. One malformed row refuses the file.

    Args:
        content: The file, or its beginning when that is longer than `MAX_BYTES` already.
        id_type: What each row must be: 64 lower-case hex digits, or a UUID for `IFA`.
        accept_hashed_ifa: Whether 64 lower-case hex digits pass as an `IFA` too.

    Raises:
        Refusal: 400, with the reason that LINE lists for it and the number of the first malformed row.
    """
    if len(content) > MAX_BYTES:
        raise _refused("FILE_SIZE_LIMIT_EXCEEDED", f"the file has more than {MAX_BYTES:,} bytes")
    if not content:
        raise _refused("EMPTY_FILE", "the file is empty")
    _check_text(content)
    row_count = content.count(b"\n")
    if row_count > MAX_ROWS:
        raise _refused(
            "UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS",
            f"the file has {row_count:,} rows; {MAX_ROWS:,} are the limit",
        )
    pattern = _HASHES if id_type != "IFA" else _IFAS_OR_HASHES if accept_hashed_ifa else _IFAS
    valid = pattern.match(content)
    end = valid.end() if valid else 0
    if end < len(content):
        row = content.count(b"\n", 0, end) + 1
        if pattern is not _IFAS and _UPPER_CASE_HASH.match(content, end):
            raise _refused("INVALID_FILE_CONTENT", f"row {row:,} is a hash with upper-case digits")
        raise _refused(
            "UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT", f"row {row:,} is not a valid {id_type}"
        )
    return IdentifierFile(row_count, frozenset(content[:-1].decode("ascii").split("\n")))


def _check_text(content: bytes | bytearray) -> None:
    if content.startswith(_BOM):
        raise _refused("INVALID_FILE_CONTENT", "the file begins with a byte order mark")
    if not content.isascii():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            raise _refused("DECODING_FAILED", "the file is not UTF-8") from None
    if b"\r" in content:
        raise _refused("INVALID_FILE_CONTENT", "the file has carriage returns; lines end with \\n alone")
    if not content.endswith(b"\n"):
        raise _refused("INVALID_FILE_CONTENT", "the last line has no newline")


def _refused(reason: str, detail: str) -> Refusal:
    return Refusal(400, reason, rule="invalid_file", detail=detail, field="file")
