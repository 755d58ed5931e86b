"""The command line against a real service: definitions, endpoints, explanations, freeze, audit, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.brokers import Mosquitto
from tests.services import Service, report
from tests.system.commands import otao, otao_on_terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with Mosquitto(tokens=["tok7"]) as broker, Service(broker) as started:
        yield started


async def defined(service: Service) -> None:
    """An application with two software, a filter and an endpoint, made by commands alone."""
    for words in (
        ("application", "put", "kettle", "--app-version", "kettle-v1"),
        ("filter", "put", "lab", "attributes.site == 'lab'"),
        ("software", "put", "1.0.0", "--strategy", "suspended"),
        (
            "software",
            "put",
            "1.1.0",
            "--from",
            "1.0.0",
            "--specification",
            '{"link": "https://u:hidden@example.com/f"}',
        ),
        ("endpoint", "put", "kettle-7", "--token", "tok7", "--attribute", "site=lab"),
    ):
        ended = await otao(service, *words, "--reason", "first")
        assert (ended.exit_code, ended.err) == (0, "")
        assert ended.out.endswith(": created\n")


async def test_a_day_with_the_command_line(service: Service) -> None:
    await defined(service)
    await report(service.broker, "tok7", "1.0.0")
    await service.until_offered("kettle-7", "1.1.0", application="kettle")

    assert (await otao(service, "endpoint", "list", "--filter", "lab")).rows[0][:5] == [
        "kettle-7",
        "tok7",
        "1.0.0",
        "1.1.0",
        "offered",
    ]
    explained = await otao(service, "explain", "kettle-7")
    assert "outcome\toffer" in explained.out
    assert "way\t1.0.0 → 1.1.0" in explained.out
    assert ["state", "offered", "1", "100.0 %"] in (await otao(service, "summary")).rows

    frozen = await otao(service, "freeze", "--reason", "smoke")
    assert frozen.out.startswith("the application is frozen since ")
    assert frozen.out.endswith("by anonymous: smoke; 1 offer was withdrawn\n")
    assert (await otao(service, "endpoint", "get", "kettle-7", "--json")).out.count('"offer":null') == 1
    assert (await otao(service, "freeze", "--lift")).out == "not frozen\n"

    assert (await otao(service, "software", "recall", "1.1.0", "--reason", "burns")).exit_code == 0
    audited = [row[4] for row in (await otao(service, "audit")).rows]
    assert audited[:3] == ["software.recall", "freeze.lift", "freeze.set"]
    kinds = [row[1] for row in (await otao(service, "history", "kettle-7")).rows]
    assert kinds[-2:] == ["offered", "reported"]


async def test_documents_are_the_servers(service: Service) -> None:
    await defined(service)
    ended = await otao(service, "software", "get", "1.1.0", "--json")
    async with service.client() as client:
        response = await client.get("/api/v1/applications/kettle/software/1.1.0")
    assert ended.out == response.text + "\n"
    assert json.loads(ended.out)["specification"] == {"link": "https://u:hidden@example.com/f"}


async def test_tables_on_a_terminal_hold_no_specification_and_no_colour_when_none_is_wanted(service: Service) -> None:
    await defined(service)
    coloured = await otao_on_terminal(service, "software", "list")
    plain = await otao_on_terminal(service, "software", "list", NO_COLOR="1")
    assert (coloured.exit_code, plain.exit_code) == (0, 0)
    assert "\x1b[1m" in coloured.out
    assert "\x1b" not in plain.out
    assert "─" in plain.out
    piped = await otao(service, "software", "list")
    assert "─" not in piped.out
    for ended in (coloured, plain, piped):
        assert "1.1.0" in ended.out
        assert "hidden" not in ended.out


async def test_an_edit_that_comes_second_fails_and_changes_nothing(service: Service) -> None:
    await defined(service)
    raced = await otao(service, "filter", "put", "lab", "attributes.site == 'x'", "--if-match", '"old"')
    assert (raced.exit_code, raced.out) == (1, "")
    assert "somebody else changed it" in raced.err
    assert (await service.get("/applications/kettle/filters/lab"))["expression"] == "attributes.site == 'lab'"


async def test_refused_input_ends_with_2_and_the_code(service: Service) -> None:
    await defined(service)
    for words, code in (
        (("filter", "put", "bad", "attributes.site =="), "filter-syntax"),
        (("software", "put", "1.0", "--from", "1.0.0"), "invalid-version"),
        (("endpoint", "get", "nobody"), "endpoint-not-found"),
        (("filter", "endpoints", "nobody"), "filter-not-found"),
    ):
        ended = await otao(service, *words)
        assert (ended.exit_code, ended.out) == (2, ""), words
        assert f"({code})" in ended.err


async def test_a_server_that_stopped_ends_with_4(service: Service) -> None:
    await service.terminate()
    ended = await otao(service, "application", "list")
    assert (ended.exit_code, ended.out) == (4, "")
    assert service.url in ended.err
    await service.start()


async def test_several_applications_have_to_be_told_apart(service: Service) -> None:
    await defined(service)
    await otao(service, "application", "put", "toaster", "--app-version", "toaster-v1")
    ended = await otao(service, "summary")
    assert ended.exit_code == 2
    assert "kettle, toaster" in ended.err
    assert (await otao(service, "summary", OTAO_APPLICATION="toaster")).exit_code == 0
