import json

import pytest

from line_ads_pipeline.warehouse import (
    FileSource,
    MissingColumn,
    SegmentReadFailed,
    UnsupportedColumn,
    WarehouseClosed,
)


def values(warehouse, path, column="email"):
    with warehouse.reading():
        return warehouse.scan(FileSource(path), column).collect().to_series().to_list()


def describe(warehouse, path, **options):
    return warehouse.describe(FileSource(path), identifier_columns=["email"], **options)


@pytest.fixture
def write(root):
    def write(*lines, name="people.ndjson", end="\n"):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            b"".join((line if isinstance(line, bytes) else line.encode()) + end.encode() for line in lines)
        )
        return name

    return write


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['{"email": "ann@x"}', '{"email": "bob@x"}'], ["ann@x", "bob@x"]),
        (['{"email": ""}', '{"email": " "}', '{"email": null}', '{"id": 1}'], ["", " ", None, None]),
        (['{"email": 819012345678}', '{"email": 18446744073709551615}', '{"email": -5}'], ["819012345678", "18446744073709551615", "-5"]),
        (['{"email": "00123"}', '{"email": "null"}', '{"email": "[]"}'], ["00123", "null", "[]"]),
        (['{"email": ["a", 1, null]}', '{"email": "b"}'], ["a", "1", None, "b"]),
        (['{"email": []}', '{"email": [null]}'], [None, None]),
        ([r'{"email": "a\"b\\c\u3042\n\ud83d\ude00"}', '{"email": "顧客"}'], ['a"b\\cあ\n😀', "顧客"]),
        (['{"email": "a"}', "", "  ", '{"email": "b"}'], ["a", "b"]),
        (['{"more": {"email": "x"}, "email": "a", "tags": [1, {"email": "y"}]}'], ["a"]),
        (['{"Email": "a", "email": "b"}'], ["b"]),
    ],
    ids=[
        "text",
        "blank, null and absent",
        "whole numbers",
        "text that looks like something else",
        "each element of an array",
        "an array without elements",
        "escapes",
        "blank lines",
        "only the key at the top",
        "case matters where the exact key is there",
    ],
)  # fmt: skip
def test_reads(files, write, lines, expected):
    path = write('{"email": null, "id": 0}', *lines)
    assert values(files, path) == [None, *expected]
    found = describe(files, path)
    assert (found.row_count, found.null_count) == (len(expected) + 1, expected.count(None) + 1)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["people.jsonl", "people.NDJSON", "it's [1]*.ndjson"])
def test_names_and_line_ends(files, write, name, end):
    assert values(files, write('{"email": "a"}', '{"email": "b"}', name=name, end=end)) == ["a", "b"]


def test_files_of_a_glob_are_one_segment_whatever_keys_each_has(files, write):
    write('{"email": "a"}', name="day/1.jsonl")
    write('{"id": 1}', name="day/2.jsonl")
    assert sorted(values(files, "day/*.jsonl"), key=str) == [None, "a"]


def test_an_odd_key(files, write):
    key = "it's \"odd\" {email: 'JSON'} 顧客"
    assert values(files, write(json.dumps({key: "a"})), key) == ["a"]


@pytest.mark.parametrize(
    ("line", "number", "reason"),
    [
        ('{"email": "ann@x"', 3, "it is not one whole JSON object"),
        ('{"email": "ann@x}', 3, "it is not one whole JSON object"),
        ('{"email": "ann@x"} {"email": "ann@x"}', 3, "it is not one whole JSON object"),
        ("ann@x", 3, "it is not one whole JSON object"),
        ('["ann@x"]', 3, "it is no JSON object"),
        ('"ann@x"', 3, "it is no JSON object"),
        ('{"email": "ann@x", "email": "b"}', 3, "it has the same key twice"),
        (b'{"email": "ann@x\xff"}', 3, "it is not UTF-8"),
    ],
)
@pytest.mark.parametrize("far", [False, True], ids=["at the beginning", "far in"])
def test_a_malformed_line_fails_by_its_number_and_reason_and_without_its_content(
    *, files, write, line, number, reason, far
):
    before = [json.dumps({"email": f"user{n}@x", "more": "x" * 200}) for n in range(20_000 if far else 0)]
    path = write(*before, '{"email": "a"}', '{"email": "b"}', line, '{"email": "c"}')
    for read in (describe, values):
        with pytest.raises(
            SegmentReadFailed, match=f"failed at line {len(before) + number}: {reason}"
        ) as raised:
            read(files, path)
        assert "ann@" not in str(raised.value)
        assert raised.value.__context__ is None


def test_a_byte_order_mark(files, write):
    with pytest.raises(SegmentReadFailed, match=r"line 1: it begins with a byte order mark: save"):
        describe(files, write('\ufeff{"email": "a"}'))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ('{"address": "ann@x"}', "object"),
        ("1.5", "double"),
        ("819012345678.0", "double"),
        ("18446744073709551616", "double"),
        ("true", "boolean"),
        ('[["ann@x"]]', "array"),
        ('["ann@x", 1.5]', "double"),
    ],
)
def test_a_value_that_is_no_identifier_is_refused_by_its_kind(files, write, value, kind):
    path = write('{"email": "a"}', f'{{"email": {value}}}')
    for read in (describe, values):
        with pytest.raises(UnsupportedColumn, match=f"of email in .* is of the kind {kind}") as raised:
            read(files, path)
        assert "ann@" not in str(raised.value)
        assert "8190" not in str(raised.value)


def test_the_description_has_the_kinds_of_values_and_no_key_that_looks_like_a_person(files, write):
    path = write(
        '{"email": "a", "id": 1, "ann@example.jp": true}', '{"email": ["b"], "more": {"x": 1.5}, "no": null}'
    )
    assert describe(files, path).columns == (
        ("email", "array or string"),
        ("id", "integer"),
        ("(column 3)", "boolean"),
        ("more", "object"),
        ("no", "null"),
    )


def test_a_missing_key_is_named_with_those_of_the_first_lines(files, write):
    with pytest.raises(MissingColumn, match=r"'mail'.*are: email, \(column 3\), id\."):
        files.scan(FileSource(write('{"id": 1, "email": "a", "ann@example.jp": 1}')), "mail")


def test_keys_are_known_from_the_first_mebibyte_of_each_file(files, write):
    path = write(
        *[json.dumps({"id": "x" * 1000})] * 500, '{"email": "a"}', *[json.dumps({"id": "x" * 1000})] * 2000
    )
    assert values(files, path).count("a") == 1
    with pytest.raises(MissingColumn):
        values(files, write(*[json.dumps({"id": "x" * 1000})] * 2000, '{"email": "a"}'))


@pytest.mark.parametrize("updated_at", ["at", "email"])
def test_updated_at_is_the_greatest_text_and_the_number_of_lines(files, write, updated_at):
    path = write('{"email": "b", "at": "2026-01-01"}', '{"email": "c", "at": "2026-01-03"}')
    before = describe(files, path, updated_at=updated_at).data_version
    assert before.endswith("/2")
    assert before == files.version(FileSource(path), identifier_columns=["email"], updated_at=updated_at)
    write('{"email": "b", "at": "2026-01-01"}', '{"email": "d", "at": "2026-01-04"}')
    assert describe(files, path, updated_at=updated_at).data_version != before


def test_a_frame_is_read_inside_the_with_block_only(files, write):
    frame = files.scan(FileSource(write('{"email": "a"}')), "email")
    files.__exit__(None, None, None)
    with pytest.raises(WarehouseClosed):
        frame.collect()
