"""Rows that are taken apart, read by themselves, and put back in their places."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.stages import placed, read_in_stages


@given(kinds=st.lists(st.sampled_from("abc"), max_size=50))
def test_rows_come_back_to_where_they_were_and_the_others_are_null(kinds):
    kind = pl.Series("kind", kinds, dtype=pl.String)
    rows = pl.DataFrame({"kind": kind, "number": range(len(kinds))})
    parts = [(kind == name, rows.filter(kind == name)) for name in "ba"]
    expected = [(None, None) if name == "c" else (name, number) for number, name in enumerate(kinds)]
    assert placed(*parts).rows() == expected


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        pytest.param(["yes", "no", None, "yes", "no"], ["no", "no", None], id="some"),
        pytest.param(["yes", "yes"], [], id="none"),
        pytest.param(["no", None], ["no", None], id="all"),
        pytest.param([], [], id="no row"),
    ],
)
def test_only_what_is_not_accepted_is_read_further(texts, left):
    seen = []

    def read(rest):
        seen.extend(rest.collect()["text"])
        return rest.select(
            normalised=pl.col("text").str.to_uppercase(),
            outcome=pl.when(pl.col("text").is_null()).then(outcome("null")).otherwise(outcome("blank")),
        )

    frame = pl.LazyFrame({"text": pl.Series(texts, dtype=pl.String)})
    plan = read_in_stages(frame, accepted=pl.col("text") == "yes", accepted_as="as_is", others=read)

    assert plan.collect().rows() == [
        {"yes": ("yes", "as_is"), "no": ("NO", "blank"), None: (None, "null")}[text] for text in texts
    ]
    assert sorted(seen, key=str, reverse=True) == left
