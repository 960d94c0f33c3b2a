"""Files in an object store: a real S3 server, read as files of this machine are."""

import polars as pl
import pytest
import obstore
from obstore.store import from_url
from line_ads_pipeline.warehouse import FileSource

@pytest.fixture
def put(s3):
    store = from_url(s3)
    def put(content, name):
        obstore.put(store, name, content)
        return f"{s3}/{name}"
    return put

@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
def test_read(put, files, kind, tmp_path):
    import io
    frame = pl.DataFrame({"id": [1,2,3], "email": ["a", None, "c"]})
    b = io.BytesIO()
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "ndjson": frame.write_ndjson}[kind](b)
    path = put(b.getvalue(), f"x/people.{kind}")
    with files.reading():
        print(files.describe(FileSource(path), identifier_columns=["email"]))
        assert files.scan(FileSource(path), "email").collect().to_series().to_list() == ["a", None, "c"]
