"""Fixtures of the command line's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.cli.fake_servers import open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.orchestrator.cli.fake_servers import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with open_server() as opened:
        yield opened
