"""A filter means the same in Python, in SQL, and to Google's CEL."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from cel_expr_python import cel
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select
from sqlalchemy import event as events

from orchestrator.domain import conversions, grammar
from orchestrator.domain.expressions import (
    And,
    Attribute,
    Comparison,
    Contained,
    Conversion,
    Kind,
    Listed,
    Name,
    Not,
    Operator,
    Or,
)
from orchestrator.domain.filters import Filter, Values, parse
from orchestrator.domain.predicates import predicate
from orchestrator.persistence import filters, schema, sqlite
from orchestrator.persistence.dictionaries import Names
from orchestrator.persistence.functions import sort_key
from orchestrator.persistence.instants import to_ms, to_ms_or_none
from tests.properties import expressions
from tests.properties.expressions import operand, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from orchestrator.domain.expressions import Expression, Operand, Term

RUN = dict(enumerate(expressions.RUN, 1))
APP_VERSIONS = {1: "kettle-v1", 2: "lab"}
NAMES = Names(versions=RUN, app_versions=APP_VERSIONS)
STATE = {
    column.name: 0
    for column in schema.endpoint_state.columns
    if not column.nullable and column.name not in {"id", "running_id", "app_version_id"}
}

huge = st.sampled_from(expressions.HUGE)
exact_attributes = st.dictionaries(
    st.sampled_from(expressions.NAMES), expressions.numbers | huge | st.lists(huge | st.booleans(), max_size=2)
)
exact_terms = st.builds(
    Comparison,
    operator=expressions.every_operator,
    left=expressions.attribute,
    right=expressions.literal(expressions.numbers | st.sampled_from(expressions.HUGE[:4])) | expressions.attribute,
)


@contextmanager
def database() -> Iterator[Connection]:
    """A database in memory that knows versions and has no endpoint."""
    engine = create_engine("sqlite://")
    events.listen(engine, "connect", lambda connection, _: sqlite.configure(connection))
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        fill(connection)
        yield connection
    engine.dispose()


def fill(connection: Connection) -> None:
    """Name the versions."""
    row = {"name": "kettle", "profile": "", "push": "", "registration": "", "consent": "", "operator_keys": ""}
    connection.execute(insert(schema.application).values(id=1, revision=1, created_ms=0, **row))
    for number, version in RUN.items():
        connection.execute(insert(schema.version).values(id=number, application_id=1, text=version.text))
    for number, name in APP_VERSIONS.items():
        connection.execute(insert(schema.app_version).values(id=number, application_id=1, name=name))


def in_sql(connection: Connection, text: str, values: Values) -> bool | None:
    """What the database says."""
    running = [number for number, version in RUN.items() if values.running is version]
    row = {
        "id": 1,
        "application_id": 1,
        "endpoint_id": values.endpoint_id,
        "token": "",
        "attributes": json.dumps(values.attributes, ensure_ascii=False),
        "cohort": 0,
        "registered_ms": to_ms(values.registered_at),
        "revision": 1,
    }
    state = {
        "id": 1,
        "running_id": running[0] if running else 0,
        "app_version_id": next(number for number, name in APP_VERSIONS.items() if name == values.app_version),
        "seen_ms": to_ms_or_none(values.last_seen_at),
    }
    with connection.begin_nested() as step:
        connection.execute(insert(schema.endpoint).values(row))
        connection.execute(insert(schema.endpoint_state).values(STATE | state))
        condition = filters.condition(Filter(filter_id="any", expression=text), NAMES)
        answer = filters.answer(parse(text), NAMES)
        source = schema.endpoint.join(schema.endpoint_state, schema.endpoint.c.id == schema.endpoint_state.c.id)
        asked = select(condition.label("matches"), answer.label("answer")).select_from(source)
        found: Any = connection.execute(asked).one()
        step.rollback()
    assert bool(found.matches) == bool(found.answer), text
    return None if found.answer is None else bool(found.answer)


def test_an_expression_means_the_same_in_sql_and_in_python() -> None:
    with database() as connection:
        compare(lambda text, values: in_sql(connection, text, values), 400)


def compare(ask: Callable[[str, Values], bool | None], examples: int) -> None:
    """Hold what a database says to what Python does."""

    @settings(max_examples=examples, deadline=None)
    @given(
        expression=expressions.expressions | exact_terms,
        values=expressions.subjects(expressions.attributes | exact_attributes),
    )
    @example(expression=grammar.parse("attributes.a == 1"), values=endpoint({"a": True}))
    @example(expression=grammar.parse("!(attributes.a == '1')"), values=endpoint({"a": 1}))
    @example(expression=grammar.parse("attributes.a == 9007199254740993"), values=endpoint({"a": 2.0**53}))
    @example(expression=grammar.parse("attributes.a == 9223372036854775808.0"), values=endpoint({"a": 2**63}))
    @example(expression=grammar.parse("attributes.a in []"), values=endpoint({"a": None}))
    @example(expression=grammar.parse("attributes.a in attributes.b"), values=endpoint({"a": None, "b": []}))
    @example(expression=grammar.parse("'%' in attributes.b || true"), values=endpoint({}))
    @example(expression=grammar.parse("attributes.a.b == 1"), values=endpoint({"a": [1]}))
    @example(expression=grammar.parse("attributes.a < 'Z'"), values=endpoint({"a": "a"}))
    @example(expression=grammar.parse("attributes.a < attributes.b"), values=endpoint({"a": 1e300, "b": 2**63 - 1}))
    def check(expression: Expression, values: Values) -> None:
        text = written(expression)
        assert grammar.parse(text) == expression
        read = orjson.loads(json.dumps(values.attributes, ensure_ascii=False))
        assert read.keys() == values.attributes.keys()
        answer = predicate(expression)(values)
        event(f"{answer}")
        assert ask(text, values) is answer

    check()


def endpoint(attributes: dict[str, Any]) -> Values:
    at = expressions.NOW
    return Values(
        attributes=attributes, endpoint_id="k", app_version="lab", running=None, registered_at=at, last_seen_at=None
    )


def key_of(text: str) -> str:
    """`semver` for Google's CEL: a text that sorts as the version does, or an error."""
    version = conversions.version(text)
    if version is None:
        raise ValueError(text)
    return sort_key(version)


KINDS = cel.Type
ENVIRONMENT = cel.NewEnv(
    variables={
        "attributes": KINDS.Map(KINDS.STRING, KINDS.DYN),
        **{name.value: KINDS.STRING for name in (Name.ENDPOINT_ID, Name.APP_VERSION, Name.RUNNING_VERSION)},
        **{name.value: KINDS.TIMESTAMP for name in (Name.REGISTERED_AT, Name.LAST_SEEN_AT)},
    },
    functions=[
        cel.FunctionDecl(
            "semver",
            [cel.Overload("semver_string", return_type=KINDS.STRING, parameters=[KINDS.STRING], impl=key_of)],
        )
    ],
)
ERROR = "[true][1]"
"""What is in error wherever it is evaluated."""


def by_google(text: str, values: Values) -> bool | None:
    """What Google's CEL says of an expression; None is an error, or a result that is no boolean."""
    known: dict[str, object] = {
        "attributes": values.attributes,
        Name.ENDPOINT_ID.value: values.endpoint_id,
        Name.APP_VERSION.value: values.app_version,
        Name.REGISTERED_AT.value: values.registered_at,
    }
    if values.running is not None:
        known[Name.RUNNING_VERSION.value] = values.running.text
    if values.last_seen_at is not None:
        known[Name.LAST_SEEN_AT.value] = values.last_seen_at
    result = ENVIRONMENT.compile(text).eval(data=known)
    return bool(result.value()) if result.type() == KINDS.BOOL else None


def strict(expression: Expression) -> str:
    """The same expression for Google's CEL, by what is an error there too when kinds do not fit.

    There `==` of two kinds is false and `!=` is true; here both are errors, as `<` is in both. So equality is written
    as `<= && >=`, and `in` as equality with each item. Looking into a map, or for null, is an error here.
    """
    match expression:
        case Not(part=part):
            return f"!({strict(part)})"
        case And(parts=parts):
            return " && ".join(f"({strict(part)})" for part in parts)
        case Or(parts=parts):
            return " || ".join(f"({strict(part)})" for part in parts)
        case _:
            return strict_term(expression)


def strict_term(term: Term) -> str:
    match term:
        case Comparison(operator=Operator.EQUAL, left=left, right=right):
            return equal(loose(left), loose(right))
        case Comparison(operator=Operator.UNEQUAL, left=left, right=right):
            return f"({loose(left)} < {loose(right)} || {loose(left)} > {loose(right)})"
        case Comparison(operator=operator, left=left, right=right):
            return f"{loose(left)} {operator.value} {loose(right)}"
        case Listed(item=item, choices=choices):
            found = " || ".join(equal(loose(item), loose(choice)) for choice in choices)
            return unless_null(item, f"({found})" if choices else "false")
        case Contained(item=item, attribute=attribute):
            found = f"{operand(attribute)}.exists(one, {equal('one', loose(item))})"
            return f"(type({operand(attribute)}) == list ? {unless_null(item, found)} : {ERROR})"
        case _:
            return written(term)


def equal(left: str, right: str) -> str:
    return f"({left} <= {right} && {left} >= {right})"


def unless_null(item: Operand, found: str) -> str:
    return f"({loose(item)} == null ? {ERROR} : {found})"


def loose(item: Operand) -> str:
    """An operand whose kind is looked at when it is evaluated, not before."""
    match item:
        case Conversion(kind=Kind.INSTANT, of=Attribute() as attribute):
            # To Google a number of seconds is an instant as well.
            return f"dyn(timestamp(type({operand(attribute)}) == string ? {operand(attribute)} : ''))"
        case _:
            return f"dyn({operand(item)})"


@settings(max_examples=300, deadline=None)
@given(expression=expressions.expressions, values=expressions.subjects(expressions.attributes))
def test_an_expression_means_the_same_to_googles_cel_where_types_fit_or_are_errors(
    expression: Expression, values: Values
) -> None:
    answer = predicate(expression)(values)
    event(f"{answer}")
    assert by_google(strict(expression), values) is answer


@settings(max_examples=300, deadline=None)
@given(expression=expressions.monotone, values=expressions.subjects(expressions.plain_attributes))
def test_the_same_text_matches_the_same_endpoints_to_googles_cel_where_nothing_is_negated(
    expression: Expression, values: Values
) -> None:
    answer = Filter(filter_id="any", expression=written(expression)).matches(values)
    event(f"{answer}")
    assert (by_google(written(expression), values) is True) == answer
