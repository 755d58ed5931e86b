"""A filter means the same in PostgreSQL as in Python; so do versions and instants."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.persistence.functions import instant_us, semver_key
from tests import postgres
from tests.properties import expressions
from tests.properties.test_filters import compare, fill, in_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

DAMAGED = st.sampled_from((*expressions.VERSIONS, *expressions.MOMENTS, *expressions.NONSENSE)).flatmap(
    lambda base: st.tuples(
        st.integers(0, len(base)), st.sampled_from(("", "0", "9", "-", "+", ".", "Z", "a", "٣"))
    ).map(lambda edit: base[: edit[0]] + edit[1] + base[edit[0] + 1 :])
)
"""Texts that are nearly versions or instants."""


@contextmanager
def connected(folder: Path) -> Iterator[tuple[asyncio.Runner, AsyncConnection]]:
    """A connection to a database of its own, and what runs it: Hypothesis is not asynchronous."""
    with asyncio.Runner() as runner:
        url = runner.run(postgres.shared().fresh(postgres.name_for(folder)))
        engine = create_async_engine(url)
        connection = runner.run(_connect(engine.connect()))
        yield runner, connection
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _connect(connecting: Any) -> AsyncConnection:  # noqa: ANN401 - an awaitable that is no coroutine
    connection: AsyncConnection = await connecting
    return connection


def test_an_expression_means_the_same_in_postgresql_and_in_python(tmp_path: Path) -> None:
    with connected(tmp_path) as (runner, connection):
        runner.run(connection.run_sync(fill))
        compare(lambda asked, values: runner.run(connection.run_sync(in_sql, asked, values)), 400)


@pytest.mark.parametrize(("function", "python"), [("otao_semver_key", semver_key), ("otao_instant_us", instant_us)])
def test_a_function_gives_what_pythons_gives(tmp_path: Path, function: str, python: Any) -> None:  # noqa: ANN401 - typed below
    with connected(tmp_path) as (runner, connection):

        @settings(max_examples=300, deadline=None)
        @given(given=DAMAGED | expressions.strings)
        @example(given="1.0.0-" + "a" * 122)
        @example(given="1.0.0-" + "a" * 123)
        @example(given="1.0.0\n")
        @example(given="18446744073709551616.0.0")
        @example(given="2024-02-29T00:00:00Z")
        @example(given="2026-02-29T00:00:00Z")
        @example(given="2100-02-29T00:00:00Z")
        @example(given="2026-01-01T00:00:00+00:99")
        @example(given="2026-01-01T00:00:00+23:60")
        @example(given="2026-01-01T24:00:00Z")
        @example(given="2026-06-30T23:59:60Z")
        @example(given="0001-01-01T00:00:00+01:00")
        @example(given="0000-01-01T00:00:00Z")
        @example(given="9999-12-31T23:59:59.999999999Z")
        def check(given: str) -> None:
            statement = text(f"SELECT {function}(:given)")
            assert runner.run(connection.execute(statement, {"given": given})).scalar() == python(given)

        check()
