"""The shared normalisation vectors; `options` are fields of the rules."""

import json
from pathlib import Path

import polars as pl
import pytest

from line_ads_pipeline.identifiers import SKIP_REASONS, EmailRules, IfaRules, PhoneRules, identify
from line_ads_pipeline.identifiers.identify import normalise

RULES = {"email": EmailRules, "phone": PhoneRules, "ifa": IfaRules}
VECTORS = json.loads(Path(__file__).with_name("normalization_vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(vector):
    rules = RULES[vector["id_type"]](**vector["options"])
    segment = pl.LazyFrame({"raw": [vector["input"]]})
    [normalised] = normalise(segment, "raw", rules).collect()["normalised"]
    [(identifier, outcome)] = identify(segment, "raw", rules).collect().rows()

    assert normalised == vector["expected_normalized"]
    if normalised is None:
        assert identifier is None
        assert outcome in SKIP_REASONS
    elif vector["id_type"] == "ifa":
        assert (identifier, outcome) == (normalised.encode(), "as_is")
    else:
        assert identifier.hex() == vector["expected_sha256"]
        assert outcome == ("already_hashed" if vector.get("prehashed") else "hashed")


def test_no_vector_is_missing():
    assert {vector["id_type"] for vector in VECTORS} == set(RULES)
    assert len(VECTORS) == 199
