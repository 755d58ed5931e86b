"""SQL that is written differently by each kind of database: lists as parameters, members of JSON texts, aggregates.

Rules:
- An element has one class for each meaning, also for each kind of result: what is compiled is kept by class and
  arguments.
- On PostgreSQL, functions of ours (migration 0005) look into JSON; none of them raises, since the order in which the
  parts of a condition are evaluated is not ours.
- Texts sort by code points everywhere.

Layer: persistence.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    BigInteger,
    Integer,
    Numeric,
    Text,
    TypeDecorator,
    case,
    false,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, FromClause, Select
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

    Element = FunctionElement[Any]

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_EXACT = 2**53
_INT64 = 2**63


def _arguments(element: Element, compiler: SQLCompiler, options: dict[str, Any]) -> list[str]:
    return [compiler.process(argument, **options) for argument in element.clauses]


class _Items(FunctionElement[Any]):
    """A table of one column `value`: the items of a JSON array given as one parameter."""

    name = "items"
    inherit_cache = True


@compiles(_Items, SQLITE)
def _items_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    (text,) = _arguments(element, compiler, options)
    return f"json_each({text})"


@compiles(_Items, POSTGRESQL)
def _items_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    (text,) = _arguments(element, compiler, options)
    return f"json_array_elements(CAST({text} AS JSON))"


class _Item(FunctionElement[Any]):
    """An item of such a table, or what has a place in it."""

    inherit_cache = True
    written = ""
    """Its type on PostgreSQL."""


class _NumberItem(_Item):
    name = "number_item"
    type = BigInteger()
    inherit_cache = True
    written = "BIGINT"


class _TextItem(_Item):
    name = "text_item"
    type = Text()
    inherit_cache = True
    written = "TEXT"


@compiles(_NumberItem, SQLITE)
@compiles(_TextItem, SQLITE)
def _item_of_sqlite(element: _Item, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    item, *place = _arguments(element, compiler, options)
    return f"json_extract({item}, '$[{place[0]}]')" if place else item


@compiles(_NumberItem, POSTGRESQL)
@compiles(_TextItem, POSTGRESQL)
def _item_of_postgresql(element: _Item, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    item, *place = _arguments(element, compiler, options)
    found = f"{item} ->> {place[0]}" if place else f"{item} #>> '{{}}'"
    return f"CAST({found} AS {element.written})"


@dataclass(frozen=True, slots=True)
class Given:
    """Rows that come in as one parameter, made by `listing`."""

    source: FromClause
    columns: tuple[ColumnElement[Any], ...]

    @property
    def value(self) -> ColumnElement[Any]:
        """The one column."""
        (column,) = self.columns
        return column

    @property
    def values(self) -> Select[Any]:
        """The one column as a subquery, for IN."""
        return select(self.value).select_from(self.source)


def listed(parameter: ColumnElement[str], name: str, *kinds: type) -> Given:
    """Rows from a JSON array; `kinds` (int, str) are those of its items, or of the places in each item."""
    source = _Items(parameter).table_valued("value", name=name)
    item: ColumnElement[Any] = source.c.value
    made = [_NumberItem if kind is int else _TextItem for kind in kinds]
    if len(made) == 1:
        return Given(source, (made[0](item),))
    return Given(source, tuple(kind(item, literal_column(str(place))) for place, kind in enumerate(made)))


def listed_here(items: Sequence[int]) -> Select[Any]:
    """The column of a table that holds these numbers, for IN."""
    return listed(literal(listing(items), Text()), "given", int).values


def same(column: ColumnElement[str], given: str) -> ColumnElement[bool]:
    """Whether a column holds a text that somebody asks for; none holds U+0000, and PostgreSQL cannot be asked."""
    return false() if "\0" in given else column == given


def one_of(number: ColumnElement[int], values: Collection[int]) -> ColumnElement[bool]:
    """Whether a number of our own is one of these."""
    # Written out: there may be more than a statement takes parameters.
    return number.in_([literal_column(str(int(value))) for value in values]) if values else false()


def admitted(
    rank: ColumnElement[int], limit: int, key: ColumnElement[int], members: Collection[int]
) -> ColumnElement[bool]:
    """Whether a rank is below a limit, or a key one of these."""
    below = rank < limit
    return or_(below, key.in_(listed_here(sorted(members)))) if members else below


def listing(items: Sequence[object]) -> str:
    """The parameter that `listed` reads."""
    return orjson.dumps(items).decode()


class NumbersAsJson(FunctionElement[Any]):
    """An aggregate: the numbers as the text of a JSON array, in no order."""

    name = "numbers_as_json"
    type = Text()
    inherit_cache = True


@compiles(NumbersAsJson, SQLITE)
def _numbers_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    (number,) = _arguments(element, compiler, options)
    return f"json_group_array({number})"


@compiles(NumbersAsJson, POSTGRESQL)
def _numbers_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    (number,) = _arguments(element, compiler, options)
    return f"COALESCE(CAST(json_agg({number}) AS TEXT), '[]')"


class ArrayAsJson(FunctionElement[Any]):
    """Its arguments as the text of a JSON array."""

    name = "array_as_json"
    type = Text()
    inherit_cache = True


@compiles(ArrayAsJson, SQLITE)
def _array_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"json_array({', '.join(_arguments(element, compiler, options))})"


@compiles(ArrayAsJson, POSTGRESQL)
def _array_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"CAST(json_build_array({', '.join(_arguments(element, compiler, options))}) AS TEXT)"


class Position(FunctionElement[Any]):
    """Where in a text another one begins, from 1; 0: nowhere."""

    name = "position"
    type = Integer()
    inherit_cache = True


@compiles(Position, SQLITE)
def _position_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"instr({', '.join(_arguments(element, compiler, options))})"


@compiles(Position, POSTGRESQL)
def _position_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"strpos({', '.join(_arguments(element, compiler, options))})"


class Octets(FunctionElement[Any]):
    """The bytes that a text has in UTF-8."""

    name = "octets"
    type = Integer()
    inherit_cache = True


@compiles(Octets, SQLITE)
def _octets_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"length(CAST({', '.join(_arguments(element, compiler, options))} AS BLOB))"


@compiles(Octets, POSTGRESQL)
def _octets_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"octet_length({', '.join(_arguments(element, compiler, options))})"


class VersionKey(FunctionElement[Any]):
    """`functions.semver_key` of a text."""

    name = "version_key"
    type = Text()
    inherit_cache = True


@compiles(VersionKey, SQLITE)
def _version_key_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"otao_semver_key({', '.join(_arguments(element, compiler, options))})"


@compiles(VersionKey, POSTGRESQL)
def _version_key_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f'(otao_semver_key({", ".join(_arguments(element, compiler, options))}) COLLATE "C")'


class Elements(FunctionElement[Any]):
    """A table of `value` and `type`: the items of a member that is a list. Arguments as those of `Member`."""

    name = "elements"
    inherit_cache = True


@compiles(Elements, SQLITE)
def _elements_of_sqlite(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    document, path = list(element.clauses)[:2]
    return f"json_each({compiler.process(document, **options)}, {compiler.process(path, **options)})"


@compiles(Elements, POSTGRESQL)
def _elements_of_postgresql(element: Element, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"otao_elements({_looked_up(element, compiler, options)})"


class Member(FunctionElement[Any]):
    """A member of a JSON text as it is; null for JSON's null.

    Arguments: the text; or the text, a path as SQLite has them, and its names one by one.
    """

    name = "member"
    inherit_cache = True
    function = "otao_value"


class MemberText(Member):
    """The same where it is a text."""

    name = "member_text"
    type = Text()
    inherit_cache = True
    function = "otao_text"


class MemberNumber(Member):
    """The same where it is a number."""

    name = "member_number"
    inherit_cache = True
    function = "otao_number"


class MemberBoolean(Member):
    """1 or 0 where it is a boolean."""

    name = "member_boolean"
    type = Integer()
    inherit_cache = True
    function = "otao_boolean"


class MemberType(Member):
    """What it is, in SQLite's words; a number is an integer or real. Null where there is none."""

    name = "member_type"
    type = Text()
    inherit_cache = True
    function = "otao_type"


@compiles(Member, SQLITE)
def _member_of_sqlite(element: Member, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    document, *path = list(element.clauses)[:2]
    found = compiler.process(document, **options)
    if not path:
        return found
    function = "json_type" if isinstance(element, MemberType) else "json_extract"
    return f"{function}({found}, {compiler.process(path[0], **options)})"


@compiles(Member, POSTGRESQL)
def _member_of_postgresql(element: Member, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    found = f"{element.function}({_looked_up(element, compiler, options)})"
    return f'({found} COLLATE "C")' if element.function == "otao_text" else found


def _looked_up(element: Element, compiler: SQLCompiler, options: dict[str, Any]) -> str:
    document, *path = list(element.clauses)
    names = [f" -> {compiler.process(name, **options)}" for name in path[1:]]
    return f"CAST({compiler.process(document, **options)} AS JSON){''.join(names)}"


def path_to(names: Sequence[str]) -> list[ColumnElement[str]]:
    """The arguments of an element behind the text: the way to a member."""
    path = "$" + "".join(f'."{name}"' for name in names)
    return [literal(path, Text()), *(literal(name, Text()) for name in names)]


def text_member(document: ColumnElement[str], name: str) -> ColumnElement[str]:
    """The member of a JSON object, where it is a text; else an empty one."""
    path = path_to([name])
    return case((MemberType(document, *path) == "text", MemberText(document, *path)), else_="")


class Number(TypeDecorator[Any]):
    """A number of a filter as it is compared: PostgreSQL has no exact comparison of integers and doubles of its own.

    There all numbers are decimals, made from doubles as `otao_double` makes them.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type."""
        # SQLite takes integers and doubles as they are, and compares them exactly.
        return dialect.type_descriptor(Numeric() if dialect.name == POSTGRESQL else NullType())

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | Decimal | None:
        """Convert a parameter."""
        if value is None or dialect.name != POSTGRESQL:
            return value
        if isinstance(value, int):
            return Decimal(value)
        whole = abs(value) >= _EXACT and -_INT64 <= value < _INT64
        return Decimal(int(value)) if whole else Decimal(repr(value))
