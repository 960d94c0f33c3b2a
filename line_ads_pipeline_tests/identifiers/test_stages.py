"""Rows that are cheap to decide are decided, the others are handed on with their numbers."""

import polars as pl
import pytest

from line_ads_pipeline.identifiers.outcomes import outcome
from line_ads_pipeline.identifiers.stages import decide


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        pytest.param(["yes", "no", None, "yes", "no"], [["no", None, "no"]], id="some"),
        pytest.param(["yes", "yes"], [], id="none"),
        pytest.param(["no", None], [["no", None]], id="all"),
        pytest.param([], [], id="no row"),
    ],
)
def test_only_what_is_left_open_is_read_further(texts, left):
    seen = []

    def others(batch):
        seen.append(batch["text"].to_list())
        return batch.select(
            "row",
            normalised=pl.lit(None, pl.String),
            outcome=pl.when(pl.col("text").is_null()).then(outcome("null")).otherwise(outcome("blank")),
        )

    numbers = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
    batch = pl.DataFrame({"row": numbers, "text": pl.Series(texts, dtype=pl.String)})
    text = pl.col("text")
    found = decide(
        batch, pl.when(text == "yes").then(text.str.to_uppercase()), decided_as="as_is", others=others
    )

    become = {"yes": ("YES", "as_is"), "no": (None, "blank"), None: (None, "null")}
    assert found.sort("row").rows() == [(row, *become[text]) for row, text in enumerate(texts)]
    assert seen == left
