"""A search for people and secrets in whatever a run leaves behind, however it is packed."""

import base64
import hashlib
import re
import shutil
import sqlite3
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

SECRET_KEY = "secret-key-4f1c9a7be2d05836"

# As they stand in a table, and what LINE is to be sent the hash of; None for what no rule accepts.
EMAILS: Mapping[str, str | None] = {
    "Himitsukawa.Taro@Example.JP": "himitsukawa.taro@example.jp",
    "  himitsukawa_hanako@example.co.jp\u3000": "himitsukawa_hanako@example.co.jp",
    "ｈｉｍｉｔｓｕｋａｗａ．ｊｉｒｏ＠ｅｘａｍｐｌｅ．ｊｐ": "himitsukawa.jiro@example.jp",
    "himitsukawa+vip%1@example.jp": "himitsukawa+vip%1@example.jp",
    "sakura..himitsukawa.@docomo.ne.jp": "sakura..himitsukawa.@docomo.ne.jp",
    "himitsukawa.ren at example": None,
    "秘密川 himitsukawa@例え.jp": None,
}
PHONES: Mapping[str, str | None] = {
    "090-2718-2845": "819027182845",
    "+81 80 3141 5926": "818031415926",
    "０７０（１６１８）０３３９": "817016180339",
    "+81(0)90-1414-2135": "819014142135",
    "818057721566": "818057721566",
    "+886 912 577 215": "886912577215",
    "+66 81 449 4897": "66814494897",
    "+62 812-2236-0679": "6281222360679",
    "090 6931 4718 05599": None,
}
# What every spelling of the address or number holds, once it is made plain.
_WORDS = {"an e-mail address": "himitsukawa", "a name": "秘密川"}
_NUMBERS = (
    "9027182845",
    "8031415926",
    "7016180339",
    "9014142135",
    "8057721566",
    "912577215",
    "814494897",
    "81222360679",
    "9069314718",
)

_CLOSED = {
    rb"BZh": "bzip2",
    rb"\xfd7zXZ\0": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
    rb"PK\x03\x04": "zip",
    rb"ARROW1": "Arrow IPC",
    rb"(?s:.{8})DUCK": "DuckDB",
}
_DEEPEST = 6
_ESCAPED = re.compile(rb"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})")
_ZLIB = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
# Any bytes make UTF-16: only what people could have written is looked at.
_WIDE = re.compile("[\t -~\u0660-\u0669\u200b-\u200f\u2010-\u2015\u3000\uff01-\uff5e]{6,}")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_SPACED_DIGITS = re.compile(r"\d(?:[^\w\n]{0,3}\d){8,}")


@dataclass(frozen=True, kw_only=True)
class Search:
    """Looks for words, numbers and digests in all files below a folder, and in their names.

    Attributes:
        words: What is found by which text, in any case, width, encoding or packing.
        numbers: Digits, found however they are separated.
        digests: What is found by which bytes.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    digests: Mapping[bytes, str] = field(default_factory=dict)

    def __call__(self, folder: Path) -> list[str]:
        """Lines of the form `what: file > packing > …`."""
        findings: set[str] = set()
        for file in sorted(folder.rglob("*")):
            name = str(file.relative_to(folder))
            findings.update(f"{what}: the name {name}" for what in self._seen(name.encode()))
            if file.is_file():
                for place, blob in _contents(file):
                    packing = next((kind for mark, kind in _CLOSED.items() if re.match(mark, blob)), None)
                    if packing is not None:
                        findings.add(f"{packing}, which cannot be searched: {name}{place}")
                    findings.update(self._within(blob, (f"{name}{place}",), set()))
        return sorted(findings)

    def _within(self, blob: bytes, path: tuple[str, ...], known: set[bytes]) -> Iterator[str]:
        fingerprint = hashlib.sha256(blob).digest()
        if fingerprint in known:
            return
        known.add(fingerprint)
        yield from (f"{what}: {' > '.join(path)}" for what in self._seen(blob))
        if len(path) <= _DEEPEST:
            for packing, inner in _unpacked(blob, wide=not any("utf-16" in step for step in path)):
                yield from self._within(inner, (*path, packing), known)

    def _seen(self, blob: bytes) -> Iterator[str]:
        text = _plain(blob)
        yield from (what for what, word in self.words.items() if word in text)
        if self.numbers:
            runs = "\n".join(_digits(run) for run in _SPACED_DIGITS.findall(text))
            yield from (f"a phone number, {number}" for number in self.numbers if number in runs)
        yield from (what for digest, what in self.digests.items() if digest in blob)


def _contents(file: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and what is in its columns if it has any."""
    content = file.read_bytes()
    yield "", content
    if content.startswith(b"SQLite format 3\0"):
        yield from _tables(file)
    if content.startswith(b"PAR1") and content.endswith(b"PAR1"):
        table = pq.read_table(file)
        for name in table.column_names:
            yield f" > column {name}", _joined(table[name].to_pylist())


def _tables(file: Path) -> Iterator[tuple[str, bytes]]:
    """The columns of a database as it would be opened again: with what its journal holds, in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        for part in file.parent.glob(f"{file.name}*"):
            if part.is_file():
                shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder) / file.name)) as database:
            database.text_factory = bytes
            listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in listed:
                table = name.decode().replace('"', '""')
                rows = database.execute(f'SELECT * FROM "{table}"')
                columns = [column for column, *_ in rows.description]
                for column, values in zip(columns, zip(*rows, strict=True), strict=False):
                    yield f" > {table}.{column}", _joined(values)


def _joined(values: Iterable[object]) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def _unpacked(blob: bytes, *, wide: bool) -> Iterator[tuple[str, bytes]]:
    """What is inside, by every kind of packing that may be there; `wide` asks for UTF-16 too."""
    escaped = _ESCAPED.sub(_unescaped, blob)
    if escaped != blob:
        yield "escapes", escaped
    for match in _ZLIB.finditer(blob):
        inflated = _inflated(blob[match.start() :])
        if inflated:
            yield "compressed", inflated
    runs = [run.translate(bytes.maketrans(b"-_", b"+/")) for run in _BASE64.findall(blob)]
    for start in range(4) if runs else ():
        yield "base64", b"\n".join(_from_base64(run[start:]) for run in runs)
    hexadecimal = _HEX.findall(blob)
    for start in range(2) if hexadecimal else ():
        yield "hex", b"\n".join(_from_hex(run[start:]) for run in hexadecimal)
    if wide and not _is_text(blob):
        for encoding in ("utf-16-le", "utf-16-be"):
            for start in range(2):
                text = blob[start:].decode(encoding, "ignore")
                yield encoding, "\n".join(_WIDE.findall(text)).encode()


def _unescaped(match: re.Match[bytes]) -> bytes:
    character, *byte = match.groups()
    if character:
        return chr(int(character, 16)).encode(errors="replace")
    return bytes.fromhex((byte[0] or byte[1]).decode())


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(stream)
    except zlib.error:
        return b""


def _from_base64(run: bytes) -> bytes:
    whole = run[:-1] if len(run) % 4 == 1 else run
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


def _from_hex(run: bytes) -> bytes:
    return bytes.fromhex(run[: len(run) // 2 * 2].decode())


def _is_text(blob: bytes) -> bool:
    try:
        return b"\0" not in blob and bool(blob.decode() or True)
    except UnicodeDecodeError:
        return False


def _plain(blob: bytes) -> str:
    """As text in one case and width, without invisible marks."""
    text = blob.decode(errors="replace")
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return text.casefold()


def _digits(run: str) -> str:
    return "".join(str(unicodedata.decimal(character)) for character in run if character.isdecimal())


@pytest.fixture(scope="session")
def emails() -> Mapping[str, str | None]:
    """E-mail addresses as in a table, and as they are hashed."""
    return EMAILS


@pytest.fixture(scope="session")
def phones() -> Mapping[str, str | None]:
    """Phone numbers as in a table, and as they are hashed; national ones are Japanese."""
    return PHONES


@pytest.fixture(scope="session")
def secret_key() -> str:
    """A secret key like no other text."""
    return SECRET_KEY


@pytest.fixture(scope="session")
def members() -> frozenset[str]:
    """What LINE is to hold of those people, in hex."""
    known = [value for value in (*EMAILS.values(), *PHONES.values()) if value]
    return frozenset(hashlib.sha256(value.encode()).hexdigest() for value in known)


@pytest.fixture(scope="session")
def find_people_and_secrets() -> Search:
    """Finds the people in any form but SHA-256, the secret key, and requests signed with it."""
    spelled = [*EMAILS, *filter(None, EMAILS.values()), *PHONES, *filter(None, PHONES.values())]
    return Search(
        words={**_WORDS, "the secret key": SECRET_KEY, "a signed request": '"alg":"hs256"'},
        numbers=_NUMBERS,
        digests={
            hashlib.new(name, value.encode()).digest(): f"a weak hash, {name}"
            for name in ("md5", "sha1")
            for value in spelled
        },
    )


@pytest.fixture(scope="session")
def find_members(members) -> Search:
    """Finds the hashes of those people, whole or cut short, which have their place in the store alone."""
    return Search(
        words={f"a member's hash, {member[:16]}": member[:16] for member in members},
        digests={bytes.fromhex(member): "a member's hash" for member in members},
    )
