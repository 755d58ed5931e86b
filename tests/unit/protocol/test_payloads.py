from __future__ import annotations

import pytest

from protocol import payloads
from protocol.errors import NumberRangeError, PayloadError, SettingError
from protocol.payloads import Limits


def _code(payload: bytes, limits: Limits = payloads.DEFAULT_LIMITS) -> str:
    with pytest.raises(PayloadError) as refused:
        payloads.decode(payload, limits)
    return refused.value.code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "payload-not-json"),
        (b"\xff", "payload-not-utf8"),
        (b'"\xed\xa0\x80"', "payload-not-utf8"),
        (b"\xef\xbb\xbf{}", "payload-not-json"),
        (b"{} {}", "payload-not-json"),
        (b"{'a':1}", "payload-not-json"),
        (b"[1,]", "payload-not-json"),
        (b"[01]", "payload-not-json"),
        (b'"\x01"', "payload-not-json"),
        (b"NaN", "payload-not-json"),
        (b"[-Infinity]", "payload-not-json"),
        (b"1e999", "number-out-of-range"),
        (b"-1e999", "number-out-of-range"),
        (b"9" * 5000, "number-out-of-range"),
        (b'{"a":1,"a":1}', "member-duplicate"),
        (b'{"a":1,"\\u0061":1}', "member-duplicate"),
        (b'[{"b":{"a":1,"c":2,"a":1}}]', "member-duplicate"),
    ],
)
def test_decode_refuses(payload: bytes, code: str) -> None:
    assert _code(payload) == code


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b' {"a" : [1, -0.5, true, null, "\\u00e9"]} \r\n', {"a": [1, -0.5, True, None, "é"]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud800"', "\ud800"),
        (b"1e308", 1e308),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_decode_reads(payload: bytes, value: payloads.JsonValue) -> None:
    assert payloads.decode(payload) == value


def test_size_is_limited_to_the_byte() -> None:
    limits = Limits(payload_bytes=4)
    assert payloads.decode(b"1234", limits) == 1234
    assert _code(b"12345", limits) == "payload-too-large"
    assert _code('"éé"'.encode(), limits) == "payload-too-large"


def test_depth_is_limited_to_the_level() -> None:
    limits = Limits(depth=3)
    assert payloads.decode(b'[{"a":[]},[[]],[[]]]', limits) == [{"a": []}, [[]], [[]]]
    assert _code(b'[{"a":[[]]}]', limits) == "payload-too-deep"
    assert _code(b"[" * 60000) == "payload-too-deep"


def test_brackets_in_strings_are_not_depth() -> None:
    assert payloads.decode(b'["[[[[{{{{\\"[[[["]', Limits(depth=1)) == ['[[[[{{{{"[[[[']
    assert _code(b'["' + b"[" * 40) == "payload-not-json"


def test_unterminated_strings_cost_linear_time() -> None:
    # Quadratic matching would take minutes here.
    assert _code(b"[" * 20 + b"{" * 10 + b'"' + b'\\"[' * 21000) == "payload-not-json"


@pytest.mark.parametrize("limits", [{"payload_bytes": 0}, {"depth": 0}, {"depth": 201}])
def test_limits_that_cannot_be_kept_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SettingError):
        Limits(**limits)


def test_decode_object_wants_an_object() -> None:
    with pytest.raises(PayloadError) as refused:
        payloads.decode_object(b"[]")
    assert refused.value.code == "member-type"


def test_members_keep_the_text_of_their_values() -> None:
    document = ' { "b" : 1.10 ,"a":{ "z" : [1e400, -0, 0.1E+2] , "y":"\\u00e9\\/"}, "\\u0063": "x" ,"e": {} }\n'
    expected = {"b": "1.10", "a": '{ "z" : [1e400, -0, 0.1E+2] , "y":"\\u00e9\\/"}', "c": '"x"', "e": "{}"}
    for found in (payloads.members(document), payloads.members(document.encode())):
        assert found == expected
        assert list(found) == list(expected)
    assert payloads.members("{}") == payloads.members(" { } ") == {}


def test_members_keep_numbers_of_any_size() -> None:
    number = "9" * 5000
    assert payloads.members(f'{{"n":{number}}}') == {"n": number}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ('{"a":1,"a":2}', "member-duplicate"),
        ('{"a":{"b":1,"b":2}}', "member-duplicate"),
        ('{"a":[NaN]}', "payload-not-json"),
        ('{"a":1', "payload-not-json"),
        ('{"a":1}}', "payload-not-json"),
        ("[1]", "member-type"),
        ('{"a":"\ud800"}', "payload-not-utf8"),
        ("", "payload-not-json"),
    ],
)
def test_members_are_as_strict_as_values(document: str, code: str) -> None:
    with pytest.raises(PayloadError) as refused:
        payloads.members(document)
    assert refused.value.code == code


def test_compact_drops_only_insignificant_whitespace() -> None:
    raw = '{ "a b" : [ 1.10 ,\n\t"x \\" y" ] ,\r\n "c":" { } "}'
    assert payloads.compact(raw) == '{"a b":[1.10,"x \\" y"],"c":" { } "}'


@pytest.mark.parametrize("value", ["\0", "a\ud800", ["\udfff"], {"a": {"\0": 1}}])
def test_texts_that_nothing_can_store_are_refused(value: payloads.JsonValue) -> None:
    with pytest.raises(PayloadError) as refused:
        payloads.storable(value)
    assert refused.value.code == "text-not-storable"


def test_storable_values_pass() -> None:
    value: payloads.JsonValue = {"a": ["é", "\U0001f600", 1, None, True, 0.5]}
    assert payloads.storable(value) is value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, [10**30], {"a": {"b": 10**30}}])
def test_a_whole_number_of_more_than_64_bits_is_not_storable(value: payloads.JsonValue) -> None:
    with pytest.raises(NumberRangeError):
        payloads.storable(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        (" [ ] ", []),
        ('[1.10, "a,]" ,{"b" : [2]},null]', ["1.10", '"a,]"', '{"b" : [2]}', "null"]),
    ],
)
def test_items_keep_their_text(text: str, expected: list[str]) -> None:
    assert payloads.items(text) == expected


@pytest.mark.parametrize("text", ["{}", "1", "[1", "[1,]", '[{"a":1,"a":2}]', "[NaN]", ""])
def test_what_is_no_array_has_no_items(text: str) -> None:
    with pytest.raises(PayloadError):
        payloads.items(text)
