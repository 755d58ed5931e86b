"""Operands as SQL, over one row; a property holds whole expressions to Python's meaning."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, event, insert, select

from orchestrator.domain.expressions import Attribute, Conversion, Kind, Literal, Method, Name, Operand, Variable
from orchestrator.persistence import operands, schema, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection

A = Attribute(path=("a",))


@contextmanager
def row(attributes: str, seen_ms: int | None = 5) -> Iterator[Connection]:
    """A database with one endpoint."""
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", lambda connection, _: sqlite.configure(connection))
    schema.endpoint.create(engine)
    schema.endpoint_state.create(engine)
    fixed = {"id": 1, "application_id": 1, "endpoint_id": "k-1", "token": "t", "cohort": 0, "revision": 1}
    zeros = {column.name: 0 for column in schema.endpoint_state.columns if not column.nullable}
    with engine.connect() as connection:
        connection.execute(insert(schema.endpoint).values(fixed | {"attributes": attributes, "registered_ms": 7}))
        connection.execute(insert(schema.endpoint_state).values(zeros | {"id": 1, "seen_ms": seen_ms}))
        yield connection
    engine.dispose()


def asked(connection: Connection, condition: ColumnElement[Any]) -> object:
    source = schema.endpoint.join(schema.endpoint_state, schema.endpoint.c.id == schema.endpoint_state.c.id)
    return connection.execute(select(condition).select_from(source)).scalar_one()


@pytest.mark.parametrize(
    ("operand", "kind", "value"),
    [
        (Literal(value="x"), Kind.TEXT, "x"),
        (Literal(value=2**63 - 1), Kind.NUMBER, 2**63 - 1),
        (Literal(value=0.1), Kind.NUMBER, 0.1),
        (Literal(value=True), Kind.BOOLEAN, 1),
        (A, Kind.ANY, 1.5),
        (Attribute(path=("b", "c d")), Kind.ANY, "ä"),
        (Attribute(path=("gone",)), Kind.ANY, None),
        (Variable(name=Name.ENDPOINT_ID), Kind.TEXT, "k-1"),
        (Variable(name=Name.REGISTERED_AT), Kind.INSTANT, 7000),
        (Variable(name=Name.LAST_SEEN_AT), Kind.INSTANT, 5000),
        (Conversion(kind=Kind.INSTANT, of=Literal(value="1970-01-01T00:00:00.000009Z")), Kind.INSTANT, 9),
        (Conversion(kind=Kind.INSTANT, of=Attribute(path=("at",))), Kind.INSTANT, 1_000_000),
        (Conversion(kind=Kind.VERSION, of=A), Kind.VERSION, None),
    ],
)
def test_an_operand_has_its_value(operand: Operand, kind: Kind, value: object) -> None:
    with row('{"a":1.5,"b":{"c d":"ä"},"at":"1970-01-01T00:00:01Z"}') as connection:
        found = operands.side(operand)
        assert found.kind is kind
        assert asked(connection, found.value) == value


def test_versions_compare_by_their_keys() -> None:
    with row('{"fw":"1.10.0"}') as connection:
        reported = operands.side(Conversion(kind=Kind.VERSION, of=Attribute(path=("fw",))))
        older = operands.side(Conversion(kind=Kind.VERSION, of=Literal(value="1.9.0")))
        assert asked(connection, reported.value > older.value) is True


@pytest.mark.parametrize(
    ("attributes", "answer"),
    [('{"a":1}', True), ('{"a":2.0}', False), ('{"a":"1"}', None), ('{"a":true}', None), ("{}", None)],
)
def test_choices_of_one_kind_and_of_several(attributes: str, answer: bool | None) -> None:
    with row(attributes) as connection:
        one = operands.side(Literal(value=1))
        assert asked(connection, operands.listed(operands.side(A), [one])) is answer
        mixed = operands.listed(operands.side(A), [one, operands.side(Literal(value="x"))])
        assert asked(connection, mixed) is (answer or None)


@pytest.mark.parametrize(
    ("method", "part", "answer"),
    [
        (Method.STARTS_WITH, "1_", False),
        (Method.STARTS_WITH, "10%", True),
        (Method.STARTS_WITH, "", True),
        (Method.ENDS_WITH, "% off", True),
        (Method.ENDS_WITH, "much longer than the text", False),
        (Method.ENDS_WITH, "", True),
        (Method.CONTAINS, "% o", True),
        (Method.CONTAINS, "OFF", False),
    ],
)
def test_texts_are_searched_letter_by_letter(method: Method, part: str, *, answer: bool) -> None:
    with row('{"a":"10% off"}') as connection:
        found = operands.tested(method, operands.side(A), operands.side(Literal(value=part)))
        assert asked(connection, found) is answer
