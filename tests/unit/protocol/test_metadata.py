from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol import metadata, payloads
from protocol.errors import AttributesTooLargeError, PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable


def _code(read: Callable[[bytes], object], payload: bytes) -> str:
    with pytest.raises(PayloadError) as refused:
        read(payload)
    return refused.value.code


def test_attributes_hold_any_json() -> None:
    attributes: dict[str, payloads.JsonValue] = {"a": None, "B_2": [1, {"x y": "é"}], "c": 0.5}
    assert metadata.decode_attributes(metadata.encode_attributes(attributes)) == attributes


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{}", "attribute-count"),
        (payloads.encode({f"k{number}": 1 for number in range(65)}), "attribute-count"),
        (b'{"":1}', "attribute-key-invalid"),
        (b'{"a-b":1}', "attribute-key-invalid"),
        (b'{"a\\n":1}', "attribute-key-invalid"),
        ('{"é":1}'.encode(), "attribute-key-invalid"),
        (payloads.encode({"k" * 65: 1}), "attribute-key-invalid"),
        (b'{"a":["\\u0000"]}', "text-not-storable"),
        (b'{"a":{"\\udc00":1}}', "text-not-storable"),
        (b'["a"]', "member-type"),
        (b"", "payload-not-json"),
    ],
)
def test_attributes_refuse(payload: bytes, code: str) -> None:
    assert _code(metadata.decode_attributes, payload) == code


def test_the_largest_message_passes() -> None:
    attributes: dict[str, payloads.JsonValue] = {f"{number:064}": number for number in range(64)}
    assert metadata.decode_attributes(metadata.encode_attributes(attributes)) == attributes
    keys = tuple(attributes)
    assert metadata.decode_keys(metadata.encode_keys(keys)) == keys


@pytest.mark.parametrize(("count", "size_bytes"), [(1025, 0), (0, 65537)])
def test_an_endpoint_has_so_many_attributes_of_so_many_bytes_and_no_more(count: int, size_bytes: int) -> None:
    metadata.check_all(min(count, 1024), min(size_bytes, 65536))
    with pytest.raises(AttributesTooLargeError) as refused:
        metadata.check_all(count, size_bytes)
    assert (refused.value.code, refused.value.status_code) == ("attributes-too-large", 413)


def test_queries_name_keys_or_all() -> None:
    assert metadata.decode_query(b"") is None
    assert metadata.decode_query(metadata.encode_query()) is None
    assert metadata.decode_query(metadata.encode_query(("b", "a"))) == ("b", "a")
    assert metadata.decode_query(metadata.encode_query(())) == ()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"keys":null}', "member-type"),
        (b'{"keys":"a"}', "member-type"),
        (b'{"keys":[1]}', "member-type"),
        (b'{"keys":["a","a"]}', "attribute-key-invalid"),
        (b'{"key":["a"]}', "member-unknown"),
        (payloads.encode({"keys": [f"k{number}" for number in range(65)]}), "attribute-count"),
    ],
)
def test_queries_refuse(payload: bytes, code: str) -> None:
    assert _code(metadata.decode_query, payload) == code


@pytest.mark.parametrize(("payload", "code"), [(b"[]", "attribute-count"), (b'{"keys":["a"]}', "member-type")])
def test_deletions_name_keys(payload: bytes, code: str) -> None:
    assert _code(metadata.decode_keys, payload) == code
