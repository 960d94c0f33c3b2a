"""Texts come out of `trimmed` as if each were composed whole and then trimmed, whatever shortcuts it takes."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_ads_pipeline.identifiers.text import INVISIBLE, SPACES, trimmed

MARGINS = SPACES + INVISIBLE
# an acute accent decomposes into a space and a mark, a Hangul letter composes with the one before, a mark with a letter
ODD = "\u00b4\u0301\u1112\u1161\u11ab\ufb00\uff21\uff20\u212a\u00e9e"
texts = st.lists(
    st.none()
    | st.text(
        st.sampled_from(MARGINS + ODD + "ab@.") | st.characters(exclude_categories=["Cs", "Cn"]), max_size=8
    )
)


def composed_and_trimmed(text):
    return None if text is None else unicodedata.normalize("NFKC", text).strip(MARGINS)


def simply_trimmed(text):
    return None if text is None else text.strip(MARGINS)


@pytest.mark.parametrize(
    ("compose", "expected"),
    [
        pytest.param(True, composed_and_trimmed, id="composed"),
        pytest.param(False, simply_trimmed, id="as is"),
    ],
)
@given(raw=texts)
def test_each_text_is_trimmed_by_itself_and_keeps_its_row(raw, compose, expected):
    batch = pl.DataFrame(
        {"row": pl.Series(range(len(raw)), dtype=pl.UInt32), "text": pl.Series(raw, dtype=pl.String)}
    )

    found = trimmed(batch, compose=compose).sort("row")

    assert found.rows() == [(row, expected(text)) for row, text in enumerate(raw)]
