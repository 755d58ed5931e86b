"""Random filter expressions and endpoints that they have a chance to match, and how expressions are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from hypothesis import strategies as st

from orchestrator.domain import conversions
from orchestrator.domain.expressions import (
    And,
    Attribute,
    Comparison,
    Contained,
    Conversion,
    Kind,
    Listed,
    Literal,
    Method,
    Name,
    Not,
    Operator,
    Or,
    Presence,
    TextTest,
    Truth,
    Variable,
)
from orchestrator.domain.filters import Values
from orchestrator.domain.versions import Version

if TYPE_CHECKING:
    from orchestrator.domain.expressions import Expression, Operand, Term

NAMES = ("a", "b", "list", "inner", "x9")
NUMBERS = (0, 1, -1, 2, 2**53, -(2**53), 0.0, -0.0, 1.0, 0.1, 1.5, 1e300, 5e-324, 2.0**53)
HUGE = (2**53 + 1, 2**63 - 1, -(2**63), 2.0**63, 2**63, 2**64, 2**70)
TEXTS = (
    "",
    "1",
    "true",
    "lab",
    "Lab",
    "läb",
    "läb",
    "日本",
    "😀",
    "\uffff",
    "o'clock",
    '"',
    "\\",
    "%",
    "_",
    "a\nb",
    "[1]",
)
VERSIONS = ("1.0.0", "1.0.0-rc.1", "1.0.0-rc.1.1", "1.0.0-rc-1", "1.0.0+b", "1.2.0", "1.10.0", "2.0.0", "10.0.0")
MOMENTS = (
    "1970-01-01T00:00:00Z",
    "2026-03-01T12:00:00Z",
    "2026-03-01T12:00:00.123Z",
    "2026-03-01T12:00:00.123001Z",
    "2026-03-01T13:00:00+01:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
)
RUN = tuple(map(Version.parse, VERSIONS))
NONSENSE = ("", "1.0", "v1.0.0", "01.0.0", "2026-03-01", "2026-13-01T00:00:00Z", "lab", "[1]")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

texts = st.sampled_from((*TEXTS, *VERSIONS)) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=3
)
numbers = st.sampled_from(NUMBERS) | st.integers(-3, 3)
scalars = texts | numbers | st.booleans()
strings = texts | st.sampled_from((*VERSIONS, *MOMENTS, *NONSENSE))
flat = st.none() | scalars | strings | st.lists(st.none() | scalars, max_size=3)
attributes = st.dictionaries(
    st.sampled_from(NAMES), flat | st.dictionaries(st.sampled_from(NAMES), flat, max_size=2), max_size=5
)
plain_attributes = st.dictionaries(st.sampled_from(NAMES), flat, max_size=5)

names = st.sampled_from(NAMES)
attribute = st.builds(Attribute, path=st.tuples(names) | st.tuples(names) | st.tuples(names, names))


def literal(values: st.SearchStrategy[str | float]) -> st.SearchStrategy[Literal]:
    return st.builds(Literal, value=values)


text_variable = st.builds(
    Variable, name=st.sampled_from((Name.ENDPOINT_ID, Name.APP_VERSION, Name.RUNNING_VERSION, Name.RUNNING_VERSION))
)
text_like = attribute | text_variable | literal(texts)
literal_version = st.builds(Conversion, kind=st.just(Kind.VERSION), of=literal(st.sampled_from(VERSIONS)))
version_like = literal_version | st.builds(
    Conversion,
    kind=st.just(Kind.VERSION),
    of=attribute | st.just(Variable(name=Name.RUNNING_VERSION)),
)
literal_moment = st.builds(Conversion, kind=st.just(Kind.INSTANT), of=literal(st.sampled_from(MOMENTS)))
known_moment = literal_moment | st.builds(Variable, name=st.sampled_from((Name.REGISTERED_AT, Name.LAST_SEEN_AT)))
reported_moment = st.builds(Conversion, kind=st.just(Kind.INSTANT), of=attribute | text_variable)


def pairs(
    left: st.SearchStrategy[Operand], right: st.SearchStrategy[Operand], operators: st.SearchStrategy[Operator]
) -> st.SearchStrategy[Term]:
    return st.builds(Comparison, operator=operators, left=left, right=right)


def terms(
    operators: st.SearchStrategy[Operator], moment: st.SearchStrategy[Operand], other: st.SearchStrategy[Operand]
) -> st.SearchStrategy[Expression]:
    """Every kind of term; those that compare use `operators`, instants are of `moment`, attributes meet `other`."""
    listed = st.lists(literal(scalars), min_size=1, max_size=3).map(tuple)
    return st.one_of(
        pairs(attribute, other, operators),
        pairs(text_variable, text_like, operators),
        pairs(version_like, version_like, operators),
        pairs(moment, moment, operators),
        st.builds(Listed, item=attribute, choices=listed),
        st.builds(Listed, item=text_variable, choices=st.lists(literal(texts), min_size=1, max_size=3).map(tuple)),
        st.builds(Contained, item=other, attribute=attribute),
        st.builds(TextTest, method=st.sampled_from(Method), text=text_like, part=text_like),
        st.builds(Presence, attribute=attribute),
        st.builds(Truth, operand=attribute | literal(st.booleans())),
    )


def joined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(And, parts=parts) | st.builds(Or, parts=parts)


every_operator = st.sampled_from(Operator)
constants = text_variable | literal(scalars)
every_term = terms(every_operator, known_moment | reported_moment, constants | attribute) | st.builds(
    Listed, item=version_like, choices=st.lists(literal_version, max_size=2).map(tuple)
)
expressions = st.recursive(every_term, lambda inner: joined(inner) | st.builds(Not, part=inner), max_leaves=5)

# Nothing that turns "no match" into a match: what a type that does not fit gives is false to Google and an error here.
# Nor are attributes equated with each other: two nulls, and two lists, are equal to Google and an error here.
ordering = st.sampled_from((Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST))
monotone = st.recursive(
    terms(ordering | st.just(Operator.EQUAL), known_moment, constants) | pairs(attribute, attribute, ordering),
    joined,
    max_leaves=5,
)


def subjects(attributes: st.SearchStrategy[Any]) -> st.SearchStrategy[Values]:
    """Endpoints, as storage gives them back."""
    instants = st.sampled_from([conversions.instant(text) for text in MOMENTS[:3]]) | st.integers(0, 2000).map(
        lambda milliseconds: NOW + timedelta(milliseconds=milliseconds)
    )
    return st.builds(
        Values,
        attributes=attributes,
        endpoint_id=st.sampled_from(("lab", "Lab", "1", "1.0.0", "a-b")),
        app_version=st.sampled_from(("kettle-v1", "lab")),
        running=st.none() | st.sampled_from(RUN),
        registered_at=instants,
        last_seen_at=st.none() | instants,
    )


def written(expression: Expression) -> str:
    """The text of an expression, everything in brackets that may be."""
    match expression:
        case Not(part=part):
            return f"!({written(part)})"
        case And(parts=parts):
            return " && ".join(f"({written(part)})" for part in parts)
        case Or(parts=parts):
            return " || ".join(f"({written(part)})" for part in parts)
        case _:
            return term(expression)


def term(item: Term) -> str:
    """The text of a term."""
    match item:
        case Comparison(operator=operator, left=left, right=right):
            return f"{operand(left)} {operator.value} {operand(right)}"
        case Listed(item=looked_up, choices=choices):
            return f"{operand(looked_up)} in [{', '.join(map(operand, choices))}]"
        case Contained(item=looked_up, attribute=container):
            return f"{operand(looked_up)} in {operand(container)}"
        case TextTest(method=method, text=text, part=part):
            return f"{operand(text)}.{method.value}({operand(part)})"
        case Presence(attribute=there):
            return f"has({operand(there)})"
        case Truth(operand=stands):
            return operand(stands)
        case _:
            assert_never(item)


def operand(item: Operand) -> str:
    """The text of an operand."""
    match item:
        case Literal(value=value):
            return constant(value)
        case Attribute(path=path):
            return ".".join(("attributes", *path))
        case Variable(name=name):
            return name.value
        case Conversion(kind=kind, of=of):
            return f"{'semver' if kind is Kind.VERSION else 'timestamp'}({operand(of)})"
        case _:
            assert_never(item)


def constant(value: str | float) -> str:
    """The text of a literal."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
            return f"'{escaped}'"
        case float():
            text = repr(value)
            return text if "." in text or "e" not in text else text.replace("e", ".0e")
        case _:
            return str(value)
