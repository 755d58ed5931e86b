from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application.documents import texts
from orchestrator.application.documents.texts import Raw
from protocol import payloads

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
nodes = st.recursive(
    scalars | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def test_a_raw_text_goes_out_as_it_is() -> None:
    text = '{"b":1.10,"a":"\\u00e9"}'
    assert texts.build({"x": Raw(text), "y": [Raw("1e400")]}) == f'{{"x":{text},"y":[1e400]}}'


def test_texts_are_compact_and_keep_the_order() -> None:
    assert texts.build({"b": [1, True, None], "a": {"é": 1.5}}) == '{"b":[1,true,null],"a":{"é":1.5}}'
    assert texts.build(()) == "[]"
    assert texts.build({}) == "{}"


@given(nodes)
def test_every_value_is_read_back(node: texts.Node) -> None:
    text = texts.build(node)
    assert json.loads(text) == json.loads(json.dumps(node))
    text.encode()


def test_half_a_surrogate_pair_goes_out_escaped() -> None:
    assert texts.build({"\ud800": "é\udc00"}) == '{"\\ud800":"\\u00e9\\udc00"}'


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), nodes, max_size=5))
def test_members_are_what_is_read_from_the_whole(document: dict[str, texts.Node]) -> None:
    limits = payloads.Limits(payload_bytes=2**20, depth=200)
    assert texts.build_members(document) == payloads.members(texts.build(document), limits)
