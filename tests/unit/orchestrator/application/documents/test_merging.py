from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.documents import merging
from protocol import payloads

LIMITS = payloads.Limits(payload_bytes=2**20, depth=200)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def merged(present: str, patch: str) -> str:
    members = merging.merge(payloads.members(present, LIMITS), payloads.members(patch, LIMITS), LIMITS)
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"


def merge_patch(target: payloads.JsonValue, patch: payloads.JsonValue) -> payloads.JsonValue:
    """MergePatch of RFC 7396 §2, word by word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


@given(objects, objects)
def test_a_merge_is_that_of_rfc_7396(
    present: dict[str, payloads.JsonValue], patch: dict[str, payloads.JsonValue]
) -> None:
    assert json.loads(merged(json.dumps(present), json.dumps(patch))) == merge_patch(present, patch)


@pytest.mark.parametrize(
    ("present", "patch", "result"),
    [
        # The table of RFC 7396, appendix A, as far as both are objects.
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
    ],
)
def test_the_examples_of_the_rfc(present: str, patch: str, result: str) -> None:
    assert merged(present, patch) == result


def test_what_the_patch_does_not_name_keeps_its_text() -> None:
    present = '{"a": {"x": 1.10, "y": "\\u00e9"}, "b": 1e400}'
    assert merged(present, '{"a": {"z": 2.0}}') == '{"a":{"x":1.10,"y":"\\u00e9","z":2.0},"b":1e400}'
    assert merged(present, '{"a": {}}') == '{"a":{"x": 1.10, "y": "\\u00e9"},"b":1e400}'
