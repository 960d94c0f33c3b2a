"""The search finds what is planted, however it is packed, and nothing else."""

import base64
import gzip
import hashlib
import json
import sqlite3
import zlib
from contextlib import closing
from urllib.parse import quote

import polars as pl
import pytest

EMAIL = "Himitsukawa.Taro@Example.JP"
WIDE_EMAIL = "ｈｉｍｉｔｓｕｋａｗａ．ｊｉｒｏ＠ｅｘａｍｐｌｅ．ｊｐ"
PHONE = "+81 (0)90-2718-2845"
WIDE_PHONE = "０９０‐２７１８‐２８４５"
SECRET = "secret-key-4f1c9a7be2d05836"


def nested_json(value: str, levels: int = 3) -> str:
    for _ in range(levels):
        value = json.dumps({"value": value})
    return value


TEXTS = {
    "e-mail in a log line": f"2026-01-01 ERROR could not convert '{EMAIL}' to INT32",
    "e-mail in capitals": EMAIL.upper(),
    "e-mail in lower case": EMAIL.lower(),
    "local part alone": EMAIL.partition("@")[0],
    "full-width e-mail": WIDE_EMAIL,
    "e-mail with invisible marks": EMAIL[:4] + "\u200b" + EMAIL[4:],
    "e-mail in a URL": f"?q={quote(EMAIL)}",
    "full-width e-mail in a URL": f"?q={quote(WIDE_EMAIL)}",
    "JSON inside JSON inside JSON": nested_json(f'{{"email": "{EMAIL}"}}'),
    "full-width e-mail in nested JSON": nested_json(WIDE_EMAIL),
    "bytes as Python shows them": repr(WIDE_EMAIL.encode()),
    "base64 in JSON": nested_json(base64.b64encode(EMAIL.encode()).decode()),
    "base64 in base64": base64.b64encode(base64.b64encode(EMAIL.encode())).decode(),
    "base64 amid a longer word": "a/b" + base64.urlsafe_b64encode(f"??>{EMAIL}".encode()).decode().rstrip("="),
    "phone in base64": base64.b64encode(b"09027182845").decode(),
    "hex": EMAIL.encode().hex(),
    "hex in capitals after a digit": "7" + WIDE_EMAIL.encode().hex().upper(),
    "phone as it is": "09027182845",
    "phone, international": "+819027182845",
    "phone with separators": f"call {PHONE} now",
    "phone with dots and spaces": "090.2718. 2845",
    "phone with invisible marks": "\u200e090\u200b2718\u200b2845",
    "full-width phone": WIDE_PHONE,
    "full-width phone in JSON": nested_json(WIDE_PHONE),
    "phone in other digits": "٠٩٠٢٧١٨٢٨٤٥",
    "phone as a number": '{"min": 9027182845, "max": 9027182846}',
    "secret key": f"secret_key={SECRET}",
    "secret key in an event": nested_json(f'{{"config": {{"secret_key": "{SECRET}"}}}}'),
    "signed request": "Authorization: Bearer " + base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k"}').decode(),
    "MD5": hashlib.md5(EMAIL.lower().encode()).hexdigest(),
    "SHA-1 of the address as it stands": hashlib.sha1(EMAIL.encode()).hexdigest().upper(),
}  # fmt: skip

FILES = {
    "gzip": lambda: gzip.compress(EMAIL.encode()),
    "gzip that was cut off": lambda: gzip.compress((EMAIL * 50).encode())[:-12],
    "gzip of base64 in a log": lambda: b"line\n" + gzip.compress(base64.b64encode(EMAIL.encode())),
    "UTF-16": lambda: f"x{EMAIL}".encode("utf-16"),
    "UTF-16, the other way, from an odd byte": lambda: b"\x01" + EMAIL.encode("utf-16-be"),
    "full-width UTF-16": lambda: WIDE_EMAIL.encode("utf-16-le"),
    "full-width UTF-16 from an odd byte": lambda: b"\x01" + WIDE_EMAIL.encode("utf-16-le"),
    "full-width phone in UTF-16": lambda: WIDE_PHONE.encode("utf-16-be"),
    "raw value amid hashes": lambda: (
        hashlib.sha256(b"a").digest() + EMAIL.lower().encode() + hashlib.sha256(b"b").digest()
    ),
    "phone amid hashes": lambda: hashlib.sha256(b"a").digest() + b"819027182845\xf0",
    "SHA-1 amid hashes": lambda: b"\x00" * 7 + hashlib.sha1(EMAIL.encode()).digest() + b"\xff" * 9,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_is_found_in_a_log_and_in_a_database(text, tmp_path, find_people_and_secrets):
    log, database = tmp_path / "logs" / "run.err", tmp_path / "storage" / "runs.db"
    log.parent.mkdir()
    log.write_text(f"before\n{text}\nafter\n")
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE snapshots (id INTEGER, body BLOB)")
        body = zlib.compress(json.dumps({"event": "before", "text": text}).encode())
        connection.executemany("INSERT INTO snapshots VALUES (?, ?)", [(1, b"other"), (2, body)])

    places = {finding.partition(": ")[2].split(" > ")[0] for finding in find_people_and_secrets(tmp_path)}

    assert places == {"logs/run.err", "storage/runs.db"}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_bytes_are_found_in_a_file(content, tmp_path, find_people_and_secrets):
    (tmp_path / "file").write_bytes(content())

    assert find_people_and_secrets(tmp_path)


@pytest.mark.parametrize("value", [EMAIL, WIDE_EMAIL, EMAIL.encode(), PHONE, 9027182845, [{"mail": [EMAIL]}]])
def test_a_value_is_found_in_a_parquet_column(value, tmp_path, find_people_and_secrets):
    frame = pl.DataFrame({"id": [1, 2], "sample": [None, value]}, strict=False)
    frame.write_parquet(tmp_path / "part-0", compression="zstd")

    assert any("column sample" in finding for finding in find_people_and_secrets(tmp_path))


def test_a_value_is_found_in_the_journal_of_a_killed_database(tmp_path, find_people_and_secrets):
    """The database file itself does not hold it yet, and the search leaves it as it was."""
    with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE events (body TEXT)")
        connection.execute("INSERT INTO events VALUES (?)", [nested_json(WIDE_EMAIL)])
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        findings = find_people_and_secrets(tmp_path)
        after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    assert any("live.db > events.body" in finding for finding in findings)
    assert before == after


def test_a_value_is_found_on_a_page_that_a_database_no_longer_uses(tmp_path, find_people_and_secrets):
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE events (body TEXT)")
        connection.execute("INSERT INTO events VALUES (?)", [EMAIL])
        connection.commit()
        connection.execute("DROP TABLE events")
        connection.commit()

    assert find_people_and_secrets(tmp_path)


@pytest.mark.parametrize("name", [EMAIL, "09027182845.csv"])
def test_names_of_files_and_folders_are_searched(name, tmp_path, find_people_and_secrets):
    (tmp_path / name).mkdir()
    (tmp_path / name / "nothing").touch()

    assert find_people_and_secrets(tmp_path)


@pytest.mark.parametrize(
    "mark",
    [
        b"PK\x03\x04",
        b"\x28\xb5\x2f\xfd",
        b"\x04\x22\x4d\x18",
        b"\xfd7zXZ\0",
        b"BZh9",
        b"ARROW1",
        b"\n" * 8 + b"DUCK",
    ],
)
def test_what_cannot_be_searched_is_a_finding(mark, tmp_path, find_people_and_secrets):
    (tmp_path / "file").write_bytes(mark + b"\x00" * 40)

    assert any("which cannot be searched" in finding for finding in find_people_and_secrets(tmp_path))


def test_every_person_is_found_as_in_the_table_and_as_hashed(
    emails, phones, tmp_path, find_people_and_secrets
):
    for value in [*emails, *emails.values(), *phones, *phones.values()]:
        if value is not None:
            (tmp_path / "log").write_text(f"value {value}\n")
            assert find_people_and_secrets(tmp_path), value


def test_what_may_be_kept_is_not_found(members, tmp_path, find_people_and_secrets, find_members):
    """SHA-256 is no finding among people, and is one among members, in bytes and in hex."""
    (tmp_path / "snapshot").write_bytes(b"".join(bytes.fromhex(member) for member in sorted(members)))
    (tmp_path / "log").write_text("\n".join(["17 of 9027182844 rows", "access_key demo", *sorted(members)]))

    assert find_people_and_secrets(tmp_path) == []
    assert {finding.partition(": ")[2] for finding in find_members(tmp_path)} >= {"snapshot", "log"}


def test_an_empty_folder_holds_nothing(tmp_path, find_people_and_secrets, find_members):
    assert find_people_and_secrets(tmp_path) == find_members(tmp_path) == []
