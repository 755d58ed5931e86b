"""A filter means the same in SQL and in Python."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import orjson
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from orchestrator.domain.filters import Filter, Literal
from orchestrator.persistence import filters, schema
from protocol import payloads
from tests.contract.storages import open_sqlite
from tests.properties.fleets import shared

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.payloads import JsonValue
    from tests.contract.storages import SqlShelf

NAMES = ("site", "ring", "a", "A", "_", "x9", "length", "value")
NUMBERS = (0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, 2.0**53, 2.0**63)
TEXTS = ("", "1", "true", "null", "lab", "Lab", "läb", "läb", "日本", "😀", "o'clock", '"', "\\", "%", "$.a", "a\nb")

texts = st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
numbers = st.sampled_from(NUMBERS) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
literals = texts | numbers | st.booleans()
# Between 2**63 and 2**64 the database has a double where Python has the exact number: those are not drawn.
huge = st.integers(2**64, 2**70)
values = st.recursive(
    st.none() | literals | huge,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=4,
)
attributes = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)


def written(literal: Literal) -> str:
    """A literal as an expression has it."""
    match literal:
        case bool():
            return "true" if literal else "false"
        case str():
            escaped = literal.replace("\\", "\\\\").replace("'", "\\'")
            return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"
        case float():
            text = repr(literal)
            return text if "e" not in text or "." in text else text.replace("e", ".0e")
        case int():
            return str(literal)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, JsonValue]]:
    """An expression and attributes that it often has a chance to match."""
    found = draw(attributes)
    terms = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)):
        value = found.get(name)
        usable = isinstance(value, str | float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
        literal = value if usable and draw(st.booleans()) else draw(literals)
        assert isinstance(literal, str | int | float)
        terms.append(f"attributes.{name} == {written(literal)}")
    return " && ".join(terms), found


async def matches_in_sql(shelf: SqlShelf, item: Filter, text: str, number: int) -> bool:
    """Ask the database."""
    row = {
        "id": number,
        "application_id": 1,
        "endpoint_id": str(number),
        "token": str(number),
        "attributes": text,
        "cohort": 0,
        "registered_ms": 0,
        "revision": 1,
    }
    async with shelf.storage.transaction() as transaction:
        connection = transaction._connection
        await connection.execute(insert(schema.endpoint).values(row))
        chosen = select(schema.endpoint.c.id).where(schema.endpoint.c.id == number, filters.condition(item))
        return (await connection.execute(chosen)).scalar() is not None


def test_a_filter_means_the_same_in_sql_and_in_python(tmp_path: Path) -> None:
    ids = count(1)
    with shared(open_sqlite(tmp_path)) as (runner, shelf):

        @settings(max_examples=200, deadline=None)
        @given(case=cases())
        @example(case=("attributes.a == 1", {"a": True}))
        @example(case=("attributes.a == true", {"a": 1}))
        @example(case=("attributes.a == 1.0", {"a": 1}))
        @example(case=("attributes.a == '1'", {"a": 1}))
        @example(case=("attributes.a == 9007199254740993", {"a": 2.0**53}))
        def check(case: tuple[str, dict[str, JsonValue]]) -> None:
            expression, found = case
            item = Filter(filter_id="any", expression=expression)
            text = json.dumps(found, ensure_ascii=False)
            payloads.decode(text.encode())
            expected = item.matches(orjson.loads(text))
            event(f"matches: {expected}")
            assert runner.run(matches_in_sql(shelf, item, text, next(ids))) == expected

        check()
