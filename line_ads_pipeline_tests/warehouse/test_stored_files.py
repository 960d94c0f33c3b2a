"""Files in an object store: a real S3 server, read as files of this machine are."""

import datetime as dt
import io
import os
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import polars as pl
import pytest

from line_ads_pipeline.object_stores import connect
from line_ads_pipeline.warehouse import (
    FileNotFound,
    FileSource,
    MissingColumn,
    SegmentReadFailed,
    WarehouseAccessDenied,
    WarehouseError,
    WarehouseUnreachable,
)
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.segment import Marker
from line_ads_pipeline.warehouse.stored_files import StoredFiles

KINDS = ["parquet", "csv", "ndjson"]
SENTINELS = ["AKIASENTINEL", "sentinel", "Signature", "c2VudGluZWw"]
PEOPLE = pl.DataFrame({"id": [1, 2, 3], "email": ["ann@example.jp", "", None]})


def content(frame, kind):
    file = io.BytesIO()
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "ndjson": frame.write_ndjson}[kind](file)
    return file.getvalue()


def emails(*texts):
    return pl.DataFrame({"email": texts}, schema={"email": pl.String})


def values(warehouse, path, column="email"):
    with warehouse.reading():
        return warehouse.scan(FileSource(path), column).collect().to_series().to_list()


def describe(warehouse, path):
    return warehouse.describe(FileSource(path), identifier_columns=["email"])


def version(warehouse, path):
    return warehouse.version(FileSource(path), identifier_columns=["email"])


ASKS = {"describe": describe, "scan": values, "version": version}


@pytest.mark.parametrize("kind", KINDS)
class TestReading:
    def test_as_a_file_of_this_machine(self, files, put, root, kind):
        (root / f"people.{kind}").write_bytes(content(PEOPLE, kind))
        path = put(content(PEOPLE, kind), f"day=1/people.{kind}")
        assert values(files, path) == values(files, f"people.{kind}") == ["ann@example.jp", "", None]
        there, here = describe(files, path), describe(files, f"people.{kind}")
        assert (there.columns, there.row_count, there.null_count) == (here.columns, 3, 1)
        assert there.data_version == version(files, path)

    def test_odd_names(self, files, put, kind):
        put(content(emails("other"), kind), f"it's 1x.{kind}")
        for name in ("it's [1]*", "x y", "顧客", "%41", "a=1/h#", "q?", "PEOPLE"):
            path = put(content(emails(name), kind), f"{name}.{kind}")
            assert values(files, path) == [name]
        path = put(content(emails("capitals"), kind), f"PEOPLE.{kind.upper()}")
        assert values(files, path) == ["capitals"]

    def test_more_than_is_read_ahead(self, files, put, kind):
        """Pieces of 4 MiB are read."""
        many = pl.select(
            email=pl.int_range(100_000).hash(1).cast(pl.String)
            + pl.int_range(100_000).hash(2).cast(pl.String)
        ).with_columns(more=pl.col("email").str.reverse() + pl.col("email") + "x" * 60)
        path = put(content(many, kind), f"many.{kind}")
        assert sorted(values(files, path)) == sorted(many["email"].to_list())
        assert describe(files, path).row_count == 100_000

    def test_a_missing_column_is_named_with_those_there(self, files, put, kind):
        with pytest.raises(MissingColumn, match=r"'mail'.*are: email, id\."):
            values(files, put(content(PEOPLE, kind), f"people.{kind}"), "mail")

    def test_no_rows(self, files, put, kind):
        if kind == "ndjson":
            pytest.skip("without a line there is no key")
        assert values(files, put(content(PEOPLE.clear(), kind), f"a.{kind}")) == []

    def test_a_frame_that_is_cut_or_left_ends_its_threads(self, files, put, kind):
        many = emails(*(f"user{n}" for n in range(100_000)))
        frame = files.scan(FileSource(put(content(many, kind), f"many.{kind}")), "email")
        assert frame.head(5).collect(engine="streaming").height == 5
        batches = iter(frame.collect_batches(chunk_size=1000))
        assert next(batches).height
        del batches
        assert frame.select(pl.len()).collect().item() == 100_000


class TestGlobs:
    @pytest.fixture
    def folder(self, put, root):
        """The same files in a bucket and on this machine."""
        names = [
            "1.csv",
            "2.csv",
            "_3.csv",
            ".4.csv",
            "_SUCCESS",
            "5.CSV",
            "deep/6.csv",
            "deep/er/7.csv",
            ".hidden/8.csv",
        ]
        for name in names:
            (root / "day" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "day" / name).write_bytes(content(emails(name), "csv"))
            put(content(emails(name), "csv"), f"day/{name}")
        put(content(emails("wrong"), "csv"), "days/1.csv")

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("day/*.csv", ["1.csv", "2.csv", "_3.csv"]),
            ("day/[12].csv", ["1.csv", "2.csv"]),
            ("day/[!1].csv", ["2.csv"]),
            ("day/?.csv", ["1.csv", "2.csv"]),
            ("day/.*.csv", [".4.csv"]),
            ("day/**/*.csv", ["1.csv", "2.csv", "_3.csv", "deep/6.csv", "deep/er/7.csv"]),
            ("**/6.csv", ["deep/6.csv"]),
            ("day/*/*.csv", ["deep/6.csv"]),
            ("day/*/er/*.csv", ["deep/er/7.csv"]),
            ("da[y]/1.csv", ["1.csv"]),
        ],
    )
    @pytest.mark.usefixtures("folder")
    def test_they_name_what_they_name_on_this_machine(self, files, s3, pattern, found):
        assert sorted(values(files, f"{s3}/{pattern}")) == sorted(values(files, pattern)) == sorted(found)

    @pytest.mark.parametrize("kind", ["parquet", "ndjson"])
    def test_of_other_kinds(self, files, put, s3, kind):
        for name in "abc":
            put(content(emails(name), kind), f"day={name}/part.{kind}")
        assert sorted(values(files, f"{s3}/*/part.{kind}")) == ["a", "b", "c"]
        assert describe(files, f"{s3}/**/*.{kind}").row_count == 3

    @pytest.mark.parametrize(
        ("one", "other", "words"),
        [
            (emails("a"), pl.DataFrame({"email": [1]}), "differ in their columns"),
            (emails("a"), pl.DataFrame({"mail": ["a"]}), "differ in their columns"),
        ],
    )
    def test_parquet_files_that_do_not_fit_together(self, files, put, s3, one, other, words):
        put(content(one, "parquet"), "1.parquet")
        put(content(other, "parquet"), "2.parquet")
        with pytest.raises(SegmentReadFailed, match=rf"{words} \(1\.parquet, 2\.parquet\)"):
            values(files, f"{s3}/*.parquet")

    def test_csv_files_that_do_not_fit_together(self, files, put, s3):
        put(b"email,id\n", "1.csv")
        put(b"id,email\n", "2.csv")
        with pytest.raises(SegmentReadFailed, match=r"header lines \(1\.csv, 2\.csv\)"):
            values(files, f"{s3}/*.csv")


class TestVersion:
    def test_it_changes_with_names_and_contents_alone(self, files, put, s3):
        path = put(b"email\na\n", "1.csv")
        seen = [version(files, f"{s3}/*.csv")]
        put(b"email\na\n", "1.csv")
        assert version(files, f"{s3}/*.csv") == seen[0]
        assert version(files, path) == seen[0]
        put(b"email\nb\n", "1.csv")
        seen.append(version(files, f"{s3}/*.csv"))
        put(b"email\nb\n", "2.csv")
        seen.append(version(files, f"{s3}/*.csv"))
        assert len(set(seen)) == 3

    def test_nothing_is_read(self, files, put, monkeypatch):
        path = put(b"\xff garbage", "1.parquet")
        monkeypatch.setattr(obstore, "get", None)
        assert version(files, path)


class TestChanges:
    """What changes while it is read is not a snapshot."""

    @pytest.fixture(params=["local", "s3"])
    def place(self, request, root):
        """Where files are, with what writes and removes them there."""
        if request.param == "s3":
            return request.getfixturevalue("s3"), request.getfixturevalue("put")
        (root / "day").mkdir()
        return "day", lambda data, name: (root / "day" / name).write_bytes(data)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("change", ["written anew", "longer", "one more"])
    def test_a_read_of_two_moments_fails(self, files, place, kind, change, monkeypatch):
        """The last batch has been read when it happens."""
        where, put = place
        put(content(emails("a"), kind), f"1.{kind}")
        frame = files.scan(FileSource(f"{where}/*.{kind}"), "email")
        before = values(files, f"{where}/*.{kind}")
        for found in (LocalFiles, StoredFiles):

            def change_and_find(found_files, find_again=found.find_again):
                texts = {"written anew": ["b"], "longer": ["a", "b"], "one more": ["b"]}[change]
                put(content(emails(*texts), kind), f"{1 + (change == 'one more')}.{kind}")
                return find_again(found_files)

            monkeypatch.setattr(found, "find_again", change_and_find)
        with (
            pytest.raises(SegmentReadFailed, match=r"\*\.\w+ changed while it was read: run again") as raised,
            files.reading(),
        ):
            frame.collect()
        assert before == ["a"]
        assert raised.value.__context__ is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_description_of_two_moments_fails(self, files, place, kind):
        where, put = place
        put(content(emails("a"), kind), f"1.{kind}")
        source = FileSource(f"{where}/*.{kind}")
        segment = files._segment(source, files._open_connections())
        put(content(emails("b"), kind), f"2.{kind}")
        with pytest.raises(SegmentReadFailed, match="changed while it was read"):
            segment.measure("email", marker=None)

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_object_that_is_removed_or_replaced_before_it_is_opened(self, files, s3, put, kind):
        path = put(content(emails("a"), kind), f"1.{kind}")
        frame = files.scan(FileSource(path), "email")
        put(content(emails("b"), kind), f"1.{kind}")
        with pytest.raises(SegmentReadFailed, match="changed while it was read"), files.reading():
            frame.collect()
        frame = files.scan(FileSource(path), "email")
        obstore.delete(connect(s3), f"1.{kind}")
        with pytest.raises(SegmentReadFailed, match="changed while it was read"), files.reading():
            frame.collect()


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
class TestFinding:
    @pytest.mark.parametrize("name", ["people.csv", "peo*.csv", "[p]eople.csv"])
    def test_a_missing_object_is_named_with_those_of_its_kind_the_closest_first(
        self, files, put, s3, ask, name
    ):
        for there in ("a.csv", "poeple.csv", "people.parquet", "deep/people2.csv"):
            put(b"email\n", f"day/{there}")
        with pytest.raises(
            FileNotFound, match=r"There is no file s3://crm/day/.* are: (poeple.csv, a|a.csv, poeple)\.csv\. "
        ):
            ask(files, f"{s3}/day/{name}")

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("s3://crm/day/x.csv", r"folder are: none\."),
            ("s3://crm/day", r"does not end in \.parquet, \.csv"),
            ("s3://crm/", r"does not end in"),
            ("s3://nowhere/x.csv", r"no such bucket or container \(HTTP 404\)"),
            ("s3://nowhere/*.csv", r"no such bucket or container \(HTTP 404\)"),
            ("s3:///x.csv", r"URL of the kind s3: .* Write s3://bucket/key"),
            ("s3://crm", r"URL of the kind s3: "),
            ("az://account/x.csv", r"URL of the kind az: .* az://account/container/key"),
            ("https://example.com/x.csv?token=sentinel", r"URL of the kind https: "),
            ("file:///x.csv", r"URL of the kind file: .* without file://"),
            (
                "s3://AKIASENTINEL:sentinel@crm/x.csv",
                r"URL of the kind s3: .*credentials in the environment alone",
            ),
            ("s3://crm/x.csv?X-Amz-Signature=sentinel", r"URL of the kind s3: "),
        ],
    )
    @pytest.mark.usefixtures("s3")
    def test_what_is_no_object(self, files, ask, path, words):
        with pytest.raises(FileNotFound, match=words) as raised:
            ask(files, path)
        assert raised.value.__context__ is None
        assert not any(sentinel in str(raised.value) for sentinel in SENTINELS)


@pytest.fixture
def answering(monkeypatch):
    """An object store that answers every request with `status`, and echoes the credentials it was sent."""
    answers = {"status": 403, "body": ""}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            echo = f"<Error>{answers['body']}{self.headers.get('Authorization')}</Error>"
            body = b"" if self.command == "HEAD" else echo.encode()
            self.send_response(answers["status"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name http.server calls

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()


def use_endpoint(monkeypatch, url):
    """Let all three platforms be at one address, with credentials."""
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIASENTINEL",
        "AWS_SECRET_ACCESS_KEY": "sentinel-secret",
        "GOOGLE_BASE_URL": url,
        "GOOGLE_ALLOW_HTTP": "true",
        "GOOGLE_SKIP_SIGNATURE": "true",
        "AZURE_ENDPOINT": url,
        "AZURE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_KEY": "c2VudGluZWw=",
    }.items():
        monkeypatch.setenv(name, value)


PLATFORMS = ["s3://crm/day/", "gs://crm/day/", "az://account/container/day/"]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("name", ["x.csv", "*.parquet"])
class TestRefusals:
    @pytest.mark.parametrize("address", PLATFORMS)
    @pytest.mark.parametrize(
        ("status", "error", "words"),
        [
            (401, WarehouseAccessDenied, r"no permission \(.*\)\. Check the credentials in the environment"),
            (403, WarehouseAccessDenied, r"no permission \(.*\)\. Check the credentials in the environment"),
            (400, SegmentReadFailed, r"does not answer as it should \(HTTP 400\)"),
        ],
    )
    def test_it_is_said_without_its_words(self, files, answering, ask, address, name, status, error, words):
        answering["status"] = status
        with pytest.raises(error, match=words) as raised:
            ask(files, address + name)
        clean(raised.value)
        assert address + name in str(raised.value)

    def test_another_region(self, files, answering, ask, name):
        answering["status"] = 301
        with pytest.raises(WarehouseError, match=r"bucket is in another region .* Set AWS_REGION"):
            ask(files, f"s3://crm/{name}")

    @pytest.mark.parametrize("address", PLATFORMS)
    def test_nobody_there(self, files, monkeypatch, ask, address, name):
        use_endpoint(monkeypatch, "http://127.0.0.1:1")
        monkeypatch.setattr("line_ads_pipeline.warehouse.stored_files._RETRY_FOR", dt.timedelta(seconds=0.2))
        with pytest.raises(WarehouseUnreachable, match=r"does not answer .* Check the network") as raised:
            ask(files, address + name)
        clean(raised.value)


def clean(error):
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not any(sentinel in repr(error) for sentinel in SENTINELS)


READER = r"""
    import re, sys
    from pathlib import Path
    import polars as pl
    from line_ads_pipeline.warehouse import FileSource, Warehouse
    def memory(kind):
        return int(re.search(rf"Vm{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
    with Warehouse("duckdb:///absent.duckdb", root=Path.cwd()) as warehouse:
        small, large = map(FileSource, sys.argv[1:])
        with warehouse.reading():
            for source in (small, large):
                before = memory("HWM")
                length = pl.col("email").str.len_bytes().sum()
                size = warehouse.scan(source, "email").select(length).collect(engine="streaming").item()
    print(size, memory("HWM") - before)
"""


class TestFailuresOfReadingAhead:
    """A block that nobody waited for explains nothing that goes wrong later."""

    @pytest.fixture
    def stored(self, put, monkeypatch):
        """Nine MiB, of which the second block of four cannot be fetched."""
        files = StoredFiles.find(put(bytes(9 << 20), "people.csv"))
        get = obstore.get

        def fail(store, name, *, options):
            if options["range"][0] == 4 << 20:
                raise OSError("planted")
            return get(store, name, options=options)

        monkeypatch.setattr(obstore, "get", fail)
        return files

    def test_one_that_is_forgotten(self, stored):
        reader = stored.reader(0)
        reader.follow([(0, 9 << 20)])
        assert reader.read_at(0, 10) == bytes(10)
        stored.pool.shutdown(wait=True)
        reader.close()
        assert stored.take_failure() is None

    def test_one_that_is_raised_is_given_once_however_many_saw_it(self, stored):
        for _ in range(2):
            with pytest.raises(SegmentReadFailed, match="does not answer as it should"):
                stored.reader(0).read_at(4 << 20, 10)
        assert isinstance(stored.take_failure(), SegmentReadFailed)
        assert stored.take_failure() is None


def test_objects_are_mounted_once(files, put, monkeypatch):
    mounted = []
    mount = DuckDBConnection.mount
    monkeypatch.setattr(
        DuckDBConnection,
        "mount",
        lambda connection, filesystem: mounted.append(mount(connection, filesystem)),
    )
    source = FileSource(put(content(PEOPLE, "ndjson"), "people.ndjson"))
    segment = files._segment(source, files._open_connections())
    for _ in range(3):
        assert segment.measure("email", marker=Marker("email", "string", "newest")).row_count == 3
        assert segment.scan("email").collect().height == 3
    assert len(mounted) == 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(("kind", "most"), [("parquet", 200), ("csv", 320)])
def test_a_read_holds_some_tens_of_mebibytes_whatever_the_size(put, tmp_path, kind, most):
    """A column of 350 MiB, in a process that has read a small file before; nothing is written, printed or warned of."""
    row = pl.col("n").cast(pl.String)
    people = pl.select(n=pl.int_range(100_000)).select(
        email=row.hash(1).cast(pl.String)
        + row.hash(2).cast(pl.String)
        + row.hash(3).cast(pl.String)
        + "x" * 90
    )
    put(content(people.head(10), kind), f"small.{kind}")
    for name in range(25):
        put(content(people, kind), f"large/{name}.{kind}")
    done = subprocess.run(
        [
            sys.executable,
            *("-W", "error", "-c", textwrap.dedent(READER)),
            *(f"s3://crm/small.{kind}", f"s3://crm/large/*.{kind}"),
        ],
        cwd=tmp_path,
        env=os.environ | {"POLARS_MAX_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    size, peak = map(int, done.stdout.split())
    assert size > 340 << 20
    assert peak < most
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
