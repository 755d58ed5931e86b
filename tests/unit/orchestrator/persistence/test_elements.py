"""Elements on SQLite; on PostgreSQL the contract suite and a property of filters hold them to the same."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Text, bindparam, func, literal, select

from orchestrator.persistence import dialects, elements, schema
from orchestrator.persistence.postgresql import DIALECT as POSTGRESQL
from orchestrator.persistence.sqlite import Sqlite

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from tests.contract.storages import SqlShelf

SQLITE = Sqlite().dialect
WANTED = bindparam("wanted", type_=Text)
ATTRIBUTES = schema.endpoint.c.attributes


@pytest.mark.parametrize("items", [[], [1], list(range(40_000))])
async def test_a_listing_is_a_table_of_any_length(shelf: SqlShelf, items: list[int]) -> None:
    wanted = elements.listed(WANTED, "wanted", int)
    statement = dialects.rows([wanted.value]).select_from(wanted.source)
    async with shelf.storage.reading() as connection:
        found = await dialects.fetch(connection, statement, wanted=elements.listing(items))
        assert [value for (value,) in found] == items


async def test_a_listing_of_pairs_is_a_table_of_two_columns(shelf: SqlShelf) -> None:
    wanted = elements.listed(WANTED, "wanted", int, str)
    statement = dialects.rows(wanted.columns).select_from(wanted.source)
    pairs = [[2**40, "a"], [1, "ö"], [1, "1"]]
    async with shelf.storage.reading() as connection:
        assert await dialects.fetch(connection, statement, wanted=elements.listing(pairs)) == pairs


async def test_a_listing_can_be_written_into_a_statement(shelf: SqlShelf) -> None:
    chosen = select(func.count()).where(literal(7).in_(elements.listed_here([5, 7])))
    async with shelf.storage.reading() as connection:
        assert (await connection.execute(chosen)).scalar() == 1


@pytest.mark.parametrize(("members", "expected"), [((), [1, 2]), ((5,), [1, 2, 5]), ((2, 9, 5), [1, 2, 5, 9])])
async def test_ranks_are_below_a_limit_or_keys_among_some(
    shelf: SqlShelf, members: tuple[int, ...], expected: list[int]
) -> None:
    found = []
    async with shelf.storage.reading() as connection:
        for rank in (1, 2, 3, 5, 9):
            chosen = select(func.count()).where(elements.admitted(literal(rank), 3, literal(rank), members))
            found += [rank] * (await connection.execute(chosen)).scalar_one()
    assert found == expected


@pytest.mark.parametrize(
    ("element", "sqlite", "postgresql"),
    [
        (
            elements.MemberText(ATTRIBUTES, *elements.path_to(["a", "b"])),
            "json_extract(endpoint.attributes, ?)",
            '(otao_text(CAST(endpoint.attributes AS JSON) -> $1::VARCHAR -> $2::VARCHAR) COLLATE "C")',
        ),
        (
            elements.MemberType(ATTRIBUTES, *elements.path_to(["a"])),
            "json_type(endpoint.attributes, ?)",
            "otao_type(CAST(endpoint.attributes AS JSON) -> $1::VARCHAR)",
        ),
        (
            elements.Position(ATTRIBUTES, schema.endpoint.c.token),
            "instr(endpoint.attributes, endpoint.token)",
            "strpos(endpoint.attributes, endpoint.token)",
        ),
        (
            elements.VersionKey(schema.version.c.text),
            "otao_semver_key(version.text)",
            '(otao_semver_key(version.text) COLLATE "C")',
        ),
        (
            elements.NumbersAsJson(schema.endpoint.c.cohort),
            "json_group_array(endpoint.cohort)",
            "COALESCE(CAST(json_agg(endpoint.cohort) AS TEXT), '[]')",
        ),
        (
            elements.ArrayAsJson(schema.endpoint.c.cohort, schema.endpoint.c.id),
            "json_array(endpoint.cohort, endpoint.id)",
            "CAST(json_build_array(endpoint.cohort, endpoint.id) AS TEXT)",
        ),
    ],
)
def test_an_element_is_written_for_each_database(element: ColumnElement[object], sqlite: str, postgresql: str) -> None:
    assert str(element.compile(dialect=SQLITE)) == sqlite
    assert str(element.compile(dialect=POSTGRESQL)) == postgresql


def test_members_of_other_kinds_and_places_are_other_statements() -> None:
    made = [
        kind(ATTRIBUTES, *elements.path_to(path))
        for kind in (elements.Member, elements.MemberText, elements.MemberNumber, elements.MemberBoolean)
        for path in (["a"], ["a", "b"])
    ]
    keys = [select(element)._generate_cache_key() for element in made]
    assert len({str(key.key) for key in keys if key is not None}) == len(made)


@pytest.mark.parametrize(
    ("value", "decimal"),
    [
        (1, "1"),
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (2.0**53, "9007199254740992"),
        (2.0**62, "4611686018427387904"),
        (2.0**63, "9.223372036854775808E+18"),
        (1e300, "1E+300"),
        (5e-324, "5E-324"),
    ],
)
def test_numbers_are_decimals_where_integers_and_doubles_do_not_compare(value: float, decimal: str) -> None:
    number = elements.Number()
    assert number.process_bind_param(value, SQLITE) is value
    made = number.process_bind_param(value, POSTGRESQL)
    assert made == Decimal(decimal) or float(made or 0) == value
