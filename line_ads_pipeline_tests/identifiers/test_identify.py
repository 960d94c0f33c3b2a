"""What holds for identifiers of every type: counts, order, streaming, column types, privacy of errors."""

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from line_ads_pipeline.identifiers import (
    OUTCOMES,
    SKIP_REASONS,
    EmailRules,
    IfaRules,
    PhoneRules,
    UnsupportedIdentifierColumn,
    identify,
    new_threads,
)
from line_ads_pipeline.identifiers.digests import digests_of_hex, sha256
from line_ads_pipeline.identifiers.identify import normalise

EVERY_RULES = {
    "email": EmailRules(),
    "email, strict": EmailRules(strict_line_characters=True),
    "phone": PhoneRules("JP"),
    "phone, no country": PhoneRules(),
    "phone, other country": PhoneRules("US"),
    "phone, national": PhoneRules("TW", "national"),
    "phone, as given": PhoneRules(phone_format="as_given"),
    "phone, possible": PhoneRules("ID", phone_validation="possible"),
    "ifa": IfaRules(),
    "ifa, upper": IfaRules("upper"),
    "ifa, hashed": IfaRules(hash_ifa=True),
}
every_rules = pytest.mark.parametrize("rules", EVERY_RULES.values(), ids=EVERY_RULES)

MESSY = [
    None,
    "",
    " \u3000",
    "Taro@Example.com ",
    "\uff54\uff41\uff52\uff4f\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45\uff0e\uff43\uff4f\uff4d",
    "taro@example.com",
    "090-1234-5678",
    "+81 90 1234 5678",
    "+44 20 7946 0958",
    "0912-345-678",
    "03-1234-5678 \u5185\u7dda12",
    "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "00000000-0000-0000-0000-000000000000",
    hashlib.sha256(b"taro@example.com").hexdigest().upper(),
    hashlib.sha256().hexdigest(),
    hashlib.md5(b"taro@example.com").hexdigest(),
    "9.01234567E9",
    "\U0001f600",
]
values = st.lists(
    st.one_of(st.sampled_from(MESSY), st.text(max_size=12), st.from_regex(r"[+0-9 ().-]{3,20}"))
)


def frame(raw):
    return pl.LazyFrame({"raw": pl.Series(raw, dtype=pl.String)})


@every_rules
@settings(deadline=None, max_examples=12)
@given(raw=values)
def test_each_row_is_an_identifier_or_skipped_for_one_reason(rules, raw):
    found = identify(frame(raw), "raw", rules).collect()
    skipped = found["outcome"].is_in(list(SKIP_REASONS))

    assert found.schema == {"identifier": pl.Binary, "outcome": pl.Enum(OUTCOMES)}
    assert found.height == len(raw)
    assert found["outcome"].null_count() == 0
    assert (found["identifier"].is_null() == skipped).all()
    assert set(found["identifier"].drop_nulls().bin.size()) <= {rules.record_width}
    assert (found["outcome"] == "null").to_list() == [value is None for value in raw]


@every_rules
@settings(deadline=None, max_examples=8)
@given(raw=values, data=st.data())
def test_a_row_is_judged_alone_whatever_the_order_and_the_batches(rules, raw, data):
    order = data.draw(st.permutations(range(len(raw))))
    cut = data.draw(st.integers(0, len(raw)))
    whole = identify(frame(raw), "raw", rules).collect()
    shuffled = identify(frame([raw[i] for i in order]), "raw", rules).collect(engine="streaming")
    batched = identify(pl.concat([frame(raw[:cut]), frame(raw[cut:])]), "raw", rules).collect(
        engine="streaming"
    )

    assert shuffled.rows() == [whole.row(i) for i in order]
    assert batched.rows() == whole.rows()


@every_rules
@settings(deadline=None, max_examples=12)
@given(raw=values)
def test_a_normalised_value_stays_what_it_is(rules, raw):
    once = normalise(frame(raw), "raw", rules).collect()["normalised"].drop_nulls()
    if isinstance(rules, PhoneRules):
        once = _unambiguous(once, rules)
    assert normalise(frame(once), "raw", rules).collect()["normalised"].to_list() == once.to_list()


def _unambiguous(digits, rules):
    """Digits without `+` may be a national number too, and national ones may be another country's."""
    if rules.phone_format == "national":
        taiwanese = PhoneRules("TW")
        return digits.filter(
            normalise(frame(digits), "raw", taiwanese)
            .collect()["normalised"]
            .str.starts_with("886")
            .fill_null(False)
            & digits.str.starts_with("0")
        )
    if rules.phone_format == "as_given":
        return digits
    marked = normalise(frame("+" + digits.filter(digits.str.len_bytes() < 64)), "raw", rules).collect()[
        "normalised"
    ]
    assert marked.to_list() == digits.filter(digits.str.len_bytes() < 64).to_list()
    bare = normalise(frame(digits), "raw", PhoneRules(rules.default_country)).collect()["normalised"]
    return digits.filter((bare == digits).fill_null(False))


@pytest.mark.parametrize(
    "rules", [rules for rules in EVERY_RULES.values() if rules.record_width == 32], ids=repr
)
def test_hashing_what_is_hashed_changes_nothing(rules):
    once = identify(frame(MESSY), "raw", rules).collect()["identifier"].drop_nulls()
    assert len(once) >= 2
    again = identify(frame(once.bin.encode("hex")), "raw", rules).collect()
    assert again["identifier"].to_list() == once.to_list()
    assert set(again["outcome"]) == {"already_hashed"}


@every_rules
def test_the_identifier_is_the_sha256_of_the_normalised_text(rules):
    identified = identify(frame(MESSY), "raw", rules).collect()
    normalised = normalise(frame(MESSY), "raw", rules).collect()["normalised"]
    for (identifier, outcome), text in zip(identified.rows(), normalised, strict=True):
        if outcome == "hashed":
            assert identifier == hashlib.sha256(text.encode()).digest()
        elif outcome == "already_hashed":
            assert identifier == bytes.fromhex(text)
        elif outcome == "as_is":
            assert identifier == text.encode()
        else:
            assert (identifier, text) == (None, None)


@every_rules
def test_the_plan_streams_from_end_to_end(rules):
    plan = identify(frame(MESSY), "raw", rules).show_graph(
        engine="streaming", plan_stage="physical", raw_output=True, show=False
    )
    kinds = set(re.findall(r'^\d+ \[label="([a-z-]+)', plan, flags=re.MULTILINE))
    assert "select" in kinds
    assert kinds <= {"select", "with-columns", "in-memory-source"}


def test_nothing_is_read_before_the_plan_runs():
    def refuse(_batch):
        raise AssertionError("read too early")

    lazy = frame(MESSY).map_batches(refuse, schema={"raw": pl.String})
    plan = identify(lazy, "raw", EmailRules())
    with pytest.raises(Exception, match="read too early"):
        plan.collect()


@pytest.mark.parametrize(
    ("column", "rules", "normalised"),
    [
        (pl.Series([9012345678, None], dtype=pl.Int64), PhoneRules("JP"), ["819012345678", None]),
        (pl.Series([819012345678], dtype=pl.UInt64), PhoneRules("JP"), ["819012345678"]),
        (pl.Series([Decimal(9012345678)], dtype=pl.Decimal(38, 0)), PhoneRules("JP"), ["819012345678"]),
        (pl.Series([312345678], dtype=pl.Int32), PhoneRules("JP"), ["81312345678"]),
        (pl.Series(["090-1234-5678"] * 2, dtype=pl.Categorical), PhoneRules("JP"), ["819012345678"] * 2),
        (pl.Series(["a@b.co", None], dtype=pl.Enum(["a@b.co"])), EmailRules(), ["a@b.co", None]),
        (pl.Series([5551234567]), EmailRules(), [None]),
        (pl.Series([None, None], dtype=pl.Null), PhoneRules("JP"), [None, None]),
        (pl.Series([None], dtype=pl.Null), IfaRules(), [None]),
        (pl.Series([], dtype=pl.String), EmailRules(), []),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_column_types_that_are_read(column, rules, normalised):
    segment = pl.LazyFrame({"raw": column, "text": "another column", "outcome": 1})
    assert normalise(segment, "raw", rules).collect()["normalised"].to_list() == normalised
    assert identify(segment, "raw", rules).collect(engine="streaming").height == len(column)


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        (pl.Series([9012345678.0]), "cast it to BIGINT"),
        (pl.Series([Decimal("9012345678.5")]), "cast it to BIGINT"),
        (pl.Series([["taro@example.com"]]), "one identifier per row"),
        (pl.Series([{"email": "taro@example.com"}]), "one identifier per row"),
        (pl.Series([b"taro@example.com"]), "write it as text"),
        (pl.Series([True]), "give a column of text"),
        (pl.Series([0]).cast(pl.Date), "give a column of text"),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_column_types_that_are_refused_before_anything_is_read(column, remedy):
    with pytest.raises(UnsupportedIdentifierColumn, match=remedy) as caught:
        identify(pl.LazyFrame({"contact": column}), "contact", EmailRules())
    assert "'contact'" in str(caught.value)
    assert str(column.dtype) in str(caught.value)
    assert "taro" not in str(caught.value)
    assert "9012345678" not in str(caught.value)


def test_a_missing_column_is_named_together_with_those_there():
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="no column 'email' among id, mail"):
        identify(pl.LazyFrame({"id": [1], "mail": ["a@b.co"]}), "email", EmailRules())


@pytest.mark.parametrize("offset", range(5))
@pytest.mark.parametrize("length", [0, 1, 7, 40])
def test_hex_becomes_bytes_in_any_slice(offset, length):
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(50)]
    column = pl.concat([pl.Series(digests[:20]), pl.Series(digests[20:])], rechunk=False).slice(
        offset, length
    )
    found = digests_of_hex(column)
    assert found.shape == (length, 32)
    assert found.tobytes().hex() == "".join(digests[offset : offset + length])


@pytest.mark.parametrize("length", [0, 1, 55, 56, 64, 120, 100_000])
def test_texts_of_any_length_have_the_digest_of_hashlib(length):
    texts = ["ü" * length, "a" * length, ""]
    found = sha256(pl.Series("text", texts))
    assert [row.tobytes() for row in found] == [hashlib.sha256(text.encode()).digest() for text in texts]


@pytest.mark.parametrize("rows", [0, 1, 10_000, 70_000])
def test_digests_are_in_the_order_of_their_texts(rows):
    texts = pl.Series("text", [str(n) for n in range(rows)], dtype=pl.String)
    pieces = pl.concat([texts[:2], texts[2:]], rechunk=False)
    expected = b"".join(hashlib.sha256(text.encode()).digest() for text in texts)
    assert sha256(pieces).tobytes() == expected


def test_every_reason_is_explained_in_one_sentence():
    assert ("hashed", "already_hashed", "as_is", *SKIP_REASONS) == OUTCOMES
    for reason, explanation in SKIP_REASONS.items():
        assert re.fullmatch("[a-z0-9_]+", reason)
        assert re.fullmatch("[A-Z].+[.]", explanation)


@pytest.mark.parametrize(
    ("rules", "record_width"),
    [
        (EmailRules(), 32),
        (PhoneRules(), 32),
        (IfaRules(), 36),
        (IfaRules("lower"), 36),
        (IfaRules(hash_ifa=True), 32),
    ],
    ids=repr,
)
def test_shape_of_an_identifier(rules, record_width):
    assert rules.record_width == record_width


class CountingThreads(ThreadPoolExecutor):
    """Knows who worked."""

    def __init__(self):
        super().__init__(max_workers=1)
        self.worked = []

    def submit(self, work, *args):
        def noted():
            self.worked.append(threading.current_thread())
            return work(*args)

        return super().submit(noted)


@every_rules
def test_threads_that_are_given_do_the_work_and_change_nothing_else(rules):
    segment = pl.LazyFrame({"id": MESSY * 3})
    expected = identify(segment, "id", rules).collect(engine="streaming")

    with CountingThreads() as threads:
        found = identify(segment, "id", rules, threads=threads).collect(engine="streaming")

    assert found.equals(expected)
    assert len(set(threads.worked)) == 1
    assert threading.current_thread() not in threads.worked


def test_threads_work_on_the_slices_of_a_large_batch_one_after_the_other():
    texts = [*MESSY, *["taro@example.com"] * 70_000, *MESSY]
    segment = pl.LazyFrame({"id": texts})
    expected = identify(segment, "id", EmailRules()).collect(engine="streaming")

    with CountingThreads() as threads:
        found = identify(segment, "id", EmailRules(), threads=threads).collect(engine="streaming")

    assert found.equals(expected)
    assert len(threads.worked) > 1


def test_as_many_threads_are_made_as_polars_works_with():
    most = pl.thread_pool_size()
    all_at_work = threading.Barrier(most)

    def work(number):
        if number < most:
            all_at_work.wait(60)
        return threading.get_ident()

    with new_threads() as threads:
        assert len({*threads.map(work, range(3 * most))}) == most
