import datetime as dt
import os

import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    FileNotFound,
    FileSource,
    MissingColumn,
    SegmentReadFailed,
    WarehouseClosed,
)


def values(warehouse, path, column="email"):
    with warehouse.reading():
        return warehouse.scan(FileSource(path), column).collect().to_series().to_list()


def describe(warehouse, path, **options):
    return warehouse.describe(FileSource(path), identifier_columns=["email"], **options)


@pytest.fixture
def write(root):
    def write(content, name="people.csv"):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


PEOPLE = pl.DataFrame(
    {"id": [1, 2, 3], "email": ["ann@example.jp", "", None], "phone": [819012345678, None, 1]}
)


class TestCsv:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("email,id\nann@x,1\nbob@x,2\n", ["ann@x", "bob@x"]),
            ("\ufeffemail,id\nann@x,1\n", ["ann@x"]),
            ('\ufeff"email","id"\n"ann@x","1"\n', ["ann@x"]),
            ("email,id\r\nann@x,1\r\nbob@x,2\r\n", ["ann@x", "bob@x"]),
            ("email,id\nann@x,1", ["ann@x"]),
            ('id,email\n1,"a ""b"",\nc"\n2,d\n', ['a "b",\nc', "d"]),
            ('id,email\n1,\n2,""\n3," "\n4,NULL\n', [None, "", " ", "NULL"]),
            ("id,email\n0,00123\n1,0901\n", ["00123", "0901"]),
            ("email\n09012345678\n\n１２\n", ["09012345678", None, "１２"]),
            ("id,email\n1,a\n\n2,b\n", ["a", "b"]),
            ("#id,email\n#1,a\n", ["a"]),
            ('"it\'s {a} ""name""",email\n1,a\n', ["a"]),
            (",email,\n1,a,\n", ["a"]),
            ("email,id\n", []),
        ],
        ids=[
            "plain",
            "byte order mark",
            "byte order mark and quotes",
            "crlf",
            "no last newline",
            "quotes, commas and newlines in a field",
            "an empty field is NULL, a quoted one blank",
            "leading zeros",
            "one column",
            "blank line",
            "no comments",
            "odd column name",
            "unnamed columns",
            "header alone",
        ],
    )
    def test_reads(self, files, write, content, expected):
        path = write(content)
        assert values(files, path) == expected
        found = describe(files, path)
        assert (found.row_count, found.null_count) == (len(expected), expected.count(None))

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("id,email\n1,ann@x\n2\n", r"line 3: it has more or fewer fields"),
            ("id,email\n1,ann@x,2\n", r"line 2: it has more or fewer fields"),
            ('id,email\n1,"ann@x\n2,bob@x\n', r"line 2: a quoted field is not closed"),
            ('id,email\n1,"ann"@x\n', r"line 2: a quoted field is not closed, or text follows"),
            (b"id,email\n1," + b"x" * 9000 + b"ann\xff@x\n", r"line 2: it is not UTF-8"),
            (b"id,email\n1,ann\xff@x\n", r"is not UTF-8"),
            ("id,email\n1,ann@x\n".encode("utf-16"), r"is not UTF-8"),
            ("id,email\n1,ann@x\n".encode("cp932") + "2,山田\n".encode("cp932"), r"is not UTF-8"),
            ("id,email\n1," + "ann@x" * 500_000 + "\n", r"line 2: it is longer than 2 MB"),
            ("", r"is empty"),
            ("\ufeff", r"is empty"),
            ("\nid,email\n", r"is empty, or its first line is"),
            ("id;email\n1;ann@x\n", r"separated by ';'"),
            ("id\temail\n1\tann@x\n", r"separated by '\\t'"),
            ("Email,email\nann@x,2\n", r"two columns email"),
            ('"id,email\n1,ann@x\n', r"first line is not well-formed"),
        ],
        ids=[
            "short row",
            "long row",
            "unclosed quote",
            "text after a quote",
            "bad byte far in",
            "bad byte",
            "utf-16",
            "cp932",
            "endless line",
            "no bytes",
            "only a byte order mark",
            "blank first line",
            "semicolons",
            "tabs",
            "column twice",
            "unclosed header",
        ],
    )
    def test_a_malformed_file_fails_by_its_reason_and_without_its_content(
        self, files, write, content, reason
    ):
        path = write(content)
        for read in (describe, values):
            with pytest.raises(SegmentReadFailed, match=reason) as raised:
                read(files, path)
            assert "ann@" not in str(raised.value)

    def test_a_file_without_a_header_does_not_show_its_first_person(self, files, write):
        path = write("1,ann@example.jp,+81 90-1234-5678,ｂｏｂ＠example.jp,tokyo\n")
        with pytest.raises(MissingColumn, match="header line") as raised:
            describe(files, path)
        assert "are: (column 2), (column 3), (column 4), 1, tokyo." in str(raised.value)

    def test_the_description_does_not_show_a_column_named_like_a_person(self, files, write):
        path = write("email,ann@example.jp\na,b\n")
        assert describe(files, path).columns == (("email", "VARCHAR"), ("(column 2)", "VARCHAR"))

    def test_files_of_a_glob_are_one_segment(self, files, write):
        write("id,email\n1,a\n", "day/1.csv")
        write("id,email\n2,b\n", "day/2.csv")
        assert sorted(values(files, "day/*.csv")) == ["a", "b"]

    def test_files_of_a_glob_have_one_header(self, files, write):
        write("id,email\n1,a\n", "day/1.csv")
        write("email,id\nb,2\n", "day/2.csv")
        with pytest.raises(SegmentReadFailed, match=r"differ in their header lines \(1\.csv, 2\.csv\)"):
            describe(files, "day/*.csv")


class TestParquet:
    def test_reads(self, files, write):
        path = write(PEOPLE, "people.parquet")
        assert values(files, path) == ["ann@example.jp", "", None]
        found = describe(files, path)
        assert (found.row_count, found.null_count) == (3, 1)
        assert found.columns == (("id", "Int64"), ("email", "String"), ("phone", "Int64"))

    def test_only_the_column_asked_for_comes_with_its_type(self, files, write):
        frame = files.scan(FileSource(write(PEOPLE, "people.parquet")), "PHONE")
        assert frame.collect_schema() == {"phone": pl.Int64}

    @pytest.mark.parametrize("kind", [pl.Enum(["ann@x", "bob@x"]), pl.Categorical])
    def test_enums_and_categoricals_come_as_text_and_members_are_not_described(self, files, write, kind):
        path = write(pl.DataFrame({"email": pl.Series(["ann@x"], dtype=kind)}), "people.parquet")
        assert values(files, path) == ["ann@x"]
        assert files.scan(FileSource(path), "email").collect_schema() == {"email": pl.String}
        assert "ann" not in repr(describe(files, path))

    def test_an_empty_table(self, files, write):
        found = describe(files, write(PEOPLE.clear(), "none.parquet"))
        assert (found.row_count, found.null_count) == (0, 0)

    def test_files_of_a_glob_need_only_share_the_columns_of_the_first(self, files, write):
        write(PEOPLE, "day/1.parquet")
        write(PEOPLE.with_columns(more=1), "day/2.parquet")
        assert len(values(files, "day/*.parquet")) == 6

    @pytest.mark.parametrize(
        ("keep", "append"),
        [(0, b""), (4, b""), (-40, b""), (0, b"ann@example.jp" * 99)],
        ids=["empty", "magic alone", "cut", "garbage"],
    )
    def test_a_spoilt_file(self, files, write, root, keep, append):
        write(PEOPLE, "whole.parquet")
        path = write((root / "whole.parquet").read_bytes()[:keep] + append, "spoilt.parquet")
        for read in (describe, values):
            with pytest.raises(SegmentReadFailed, match=r"spoilt\.parquet.*whole Parquet file"):
                read(files, path)

    def test_a_file_that_is_spoilt_in_its_pages(self, files, write, root):
        write(pl.DataFrame({"email": [f"ann{n}@example.jp" for n in range(9999)]}), "people.parquet")
        data = bytearray((root / "people.parquet").read_bytes())
        data[40:4000] = b"\xff" * 3960
        frame = files.scan(FileSource(write(bytes(data), "people.parquet")), "email")
        with pytest.raises(SegmentReadFailed, match="failed in Polars"), files.reading():
            frame.collect()

    def test_a_missing_column_is_named_with_those_there(self, files, write):
        with pytest.raises(MissingColumn, match=r"'mail'.*are: email, id, phone\."):
            files.scan(FileSource(write(PEOPLE, "people.parquet")), "mail")


class TestVersion:
    @pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
    def test_it_changes_with_size_time_and_files(self, files, write, root, name):
        content = (lambda: PEOPLE) if name.endswith("parquet") else (lambda: "email\na\n")
        path = write(content(), name)
        glob = f"*{(root / name).suffix}"
        versions = [describe(files, path).data_version, describe(files, glob).data_version]
        assert versions[0] == versions[1]
        os.utime(root / name, ns=(1, 1))
        versions.append(describe(files, path).data_version)
        write(content(), f"more{(root / name).suffix}")
        versions.append(describe(files, glob).data_version)
        assert len(set(versions[1:])) == 3

    def test_updated_at_of_parquet_is_the_newest_time_and_the_row_count(self, files, write):
        times = [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 3), None]  # noqa: DTZ001 - as a file holds them
        path = write(PEOPLE.with_columns(at=pl.Series(times)), "people.parquet")
        assert describe(files, path, updated_at="at").data_version == "2026-01-03 00:00:00.000000/3"

    @pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
    def test_updated_at_that_is_the_identifier_is_not_shown(self, files, write, name):
        path = write(PEOPLE if name.endswith("parquet") else "email\nann@example.jp\n", name)
        version = describe(files, path, updated_at="email").data_version
        assert len(version.partition("/")[0]) == 16
        assert "ann" not in version


class TestFinding:
    def test_absolute_paths(self, files, write, root):
        assert values(files, str(root / write("email\na\n"))) == ["a"]

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_name_with_glob_marks_and_quotes_is_itself_where_it_exists(self, files, write, kind):
        def content(text):
            return pl.DataFrame({"email": [text]}) if kind == "parquet" else f"email\n{text}\n"

        write(content("other"), f"it's 1*.{kind}")
        assert values(files, write(content("this"), f"it's [1]*.{kind}")) == ["this"]

    def test_a_missing_file_is_named_with_those_of_its_kind_the_closest_first(self, files, write):
        for name in ("a.csv", "poeple.csv", "people.parquet", "people.txt"):
            write("email\n", name)
        with pytest.raises(FileNotFound, match=r"no file people\.csv\. .* are: poeple\.csv, a\.csv\. "):
            describe(files, "people.csv")

    def test_a_glob_of_nothing(self, files, write):
        write("email\n", "b.csv")
        with pytest.raises(FileNotFound, match=r"a\*\.csv.* are: b\.csv\. "):
            describe(files, "a*.csv")

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("day", r"is a folder.*day/\*\.parquet"),
            (".", r"is a folder"),
            ("people.xlsx", r"does not end in \.parquet, \.csv, \.ndjson or \.jsonl"),
            ("day/*", r"does not end in"),
            ("nowhere/people.csv", r"its folder does not exist"),
            ("day/none.csv", r"are: none\."),
        ],
    )
    def test_what_is_no_file(self, files, root, path, words):
        (root / "day").mkdir()
        with pytest.raises(FileNotFound, match=words):
            describe(files, path)

    def test_the_kind_is_known_in_capitals_too(self, files, write):
        assert values(files, write("email\na\n", "PEOPLE.CSV")) == ["a"]

    def test_a_csv_frame_is_read_inside_the_with_block_only(self, files, write):
        frame = files.scan(FileSource(write("email\na\n")), "email")
        files.__exit__(None, None, None)
        with pytest.raises(WarehouseClosed):
            frame.collect()
