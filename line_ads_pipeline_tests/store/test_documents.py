"""Documents: small JSON objects by the parts of their name."""

import pytest

from line_ads_pipeline.store import DocumentDamaged, InvalidName, Store


def test_a_document_is_read_as_it_was_written(store):
    document = {"名前": "会員", "count": 3, "nested": {"list": [1, None, True, 0.5]}}
    store.write_document(document, "audiences", "vip", "2026-08-02")
    assert store.read_document("audiences", "vip", "2026-08-02") == document


def test_a_document_that_was_never_written_is_none(store):
    assert store.read_document("audiences", "vip") is None


def test_writing_replaces_the_whole_document(store):
    store.write_document({"a": 1, "long": "x" * 10_000}, "one")
    store.write_document({"b": 2}, "one")
    assert store.read_document("one") == {"b": 2}


def test_documents_are_listed_by_their_parts_below_a_prefix(store):
    for parts in [("a", "x", "2"), ("a", "x", "1"), ("a", "xy"), ("a", "x.json"), ("b",), ("a",)]:
        store.write_document({}, *parts)
    assert store.list_documents("a", "x") == (("a", "x", "1"), ("a", "x", "2"))
    assert store.list_documents("a") == (("a", "x", "1"), ("a", "x", "2"), ("a", "x.json"), ("a", "xy"))
    assert store.list_documents() == (("a",), *store.list_documents("a"), ("b",))
    assert store.list_documents("none") == ()


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a\\b", "..x", "x..y", ".x", "a b", "あ"])
def test_parts_that_are_no_path_segment_are_refused(store, part):
    for call in (store.read_document, store.list_documents, lambda *parts: store.write_document({}, *parts)):
        with pytest.raises(InvalidName, match="cannot be a name in the store"):
            call("audiences", part)


def test_a_document_needs_a_name(store):
    with pytest.raises(InvalidName, match="needs a name"):
        store.write_document({}, *[])
    with pytest.raises(InvalidName, match="needs a name"):
        store.read_document()


@pytest.mark.parametrize(
    ("document", "error"),
    [
        pytest.param({"when": object()}, TypeError, id="no JSON type"),
        pytest.param({"share": float("nan")}, ValueError, id="not a number"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_the_old_document_stays(store, document, error):
    store.write_document({"old": True}, "one")
    with pytest.raises(error):
        store.write_document(document, "one")
    assert store.read_document("one") == {"old": True}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'"text"'])
def test_a_damaged_document_is_an_error_and_not_an_absent_one(tmp_path, content):
    store = Store(tmp_path)
    store.write_document({}, "audiences", "vip")
    (tmp_path / "documents" / "audiences" / "vip.json").write_bytes(content)
    with pytest.raises(DocumentDamaged, match="audiences/vip holds no JSON object: restore it"):
        store.read_document("audiences", "vip")


def test_other_files_are_no_documents(tmp_path):
    store = Store(tmp_path)
    store.write_document({}, "audiences", "vip")
    (tmp_path / "documents" / "audiences" / ".DS_Store").write_bytes(b"")
    assert store.list_documents() == (("audiences", "vip"),)
