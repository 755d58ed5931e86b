from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.problems import NotFoundError
from orchestrator.application.pushes import ParkedPush
from orchestrator.application.records import EndpointQuery
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.domain.facts import Progressed
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

FOUND = Version.parse("1.0.0")


async def listed(desk: Desk, query: EndpointQuery) -> list[str]:
    return [document.endpoint_id for document in await desk.observations.endpoints(APP, query)]


async def fleet(desk: Desk) -> None:
    """Four endpoints: two on 1.0.0 of which one has failed at 1.1.0, one on 1.1.0, one that is unheard."""
    await desk.group("lab", "attributes.site == 'lab'")
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0", attributes={"site": "lab"})
    await desk.enrol("e2", "1.0.0", token="t2")
    await desk.enrol("e3", "1.0.0")
    await desk.enrol("e4", attributes={"site": "lab"})
    await desk.report("e2", "1.1.0", 507, "no room left")
    await desk.report("e3", "1.1.0")


async def test_endpoints_are_listed_in_the_order_in_which_they_came(desk: Desk) -> None:
    for name in ("z", "a", "m"):
        await desk.enrol(name)
    assert await listed(desk, EndpointQuery()) == ["z", "a", "m"]
    [first] = await desk.observations.endpoints(APP, EndpointQuery(limit=1))
    assert await listed(desk, EndpointQuery(after=first.record.key, limit=1)) == ["a"]


async def test_a_list_holds_only_what_was_asked_for(desk: Desk) -> None:
    await fleet(desk)
    lab = desk.revisions.entry(APP).filters["lab"].filter
    assert await listed(desk, EndpointQuery(running=(FOUND,))) == ["e1", "e2"]
    assert await listed(desk, EndpointQuery(unknown=True)) == ["e4"]
    assert await listed(desk, EndpointQuery(state=AttemptState.OFFERED)) == ["e1"]
    assert await listed(desk, EndpointQuery(state=AttemptState.FAILED)) == ["e2"]
    assert await listed(desk, EndpointQuery(token="t2")) == ["e2"]
    assert await listed(desk, EndpointQuery(filter=lab)) == ["e1", "e4"]
    assert await listed(desk, EndpointQuery(filter=lab, running=(FOUND,))) == ["e1"]


async def test_a_version_is_found_whatever_its_build_metadata(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0+a")
    await desk.enrol("e2", "1.0.0+b")
    assert await listed(desk, EndpointQuery(running=(FOUND,))) == ["e1", "e2"]


async def test_an_application_does_not_show_anothers_endpoints(desk: Desk) -> None:
    await desk.enrol("e1")
    with pytest.raises(NotFoundError):
        await desk.observations.endpoints("other", EndpointQuery())


async def test_history_is_newest_first_and_goes_on_where_it_ended(desk: Desk) -> None:
    await fleet(desk)
    everything = await desk.observations.history(APP, "e2", None, 100)
    assert [(item.entry.kind, item.entry.status_code, item.entry.reason) for item in everything] == [
        (HistoryKind.FAILED, None, "no room left"),
        (HistoryKind.REPORTED, 507, "no room left"),
        (HistoryKind.OFFERED, None, None),
        (HistoryKind.REPORTED, 200, None),
    ]
    first = await desk.observations.history(APP, "e2", None, 1)
    rest = await desk.observations.history(APP, "e2", first[-1].number, 100)
    assert [*first, *rest] == list(everything)


async def test_history_is_an_endpoints_own(desk: Desk) -> None:
    await fleet(desk)
    assert await desk.observations.history(APP, "e4", None, 100) == []
    with pytest.raises(NotFoundError):
        await desk.observations.history(APP, "e9", None, 100)


async def test_an_explanation_tells_of_pushes_that_the_broker_refuses(desk: Desk) -> None:
    await fleet(desk)
    plain = await desk.observations.explanation(APP, "e1")
    assert (plain["outcome"], plain["hop"], plain["goal"]) == ("offer", "1.1.0", "1.1.0")
    key = (await desk.endpoints.get(APP, "e1")).record.key
    parked = ParkedPush(
        topic="kp1/a/b/c", key=key, reason_code=0x87, parked_at=desk.clock.at, retry_at=desk.clock.at, tries=1
    )
    async with desk.storage.transaction() as transaction:
        await transaction.park([parked])
    explained = await desk.observations.explanation(APP, "e1")
    noted = f"{plain['summary']}; the broker refuses its push topic kp1/a/b/c (reason code 0x87)"
    assert explained == {**plain, "summary": noted}


async def test_an_explanation_names_a_flood(desk: Desk) -> None:
    await fleet(desk)
    plain = await desk.observations.explanation(APP, "e1")
    token = (await desk.endpoints.get(APP, "e1")).record.token
    place = desk.observations.entry(APP).application.key, token
    desk.floods.over({place: 10_000}, desk.clock.at)
    desk.floods.refuse(place)
    told = str((await desk.observations.explanation(APP, "e1"))["summary"])
    assert told.startswith(f"{plain['summary']}; it floods since ")
    assert "1 of them were refused" in told


async def test_an_explanation_follows_the_clock(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"start": "2026-03-01T13:00:00Z"})
    await desk.enrol("e1", "1.0.0")
    waiting = await desk.observations.explanation(APP, "e1")
    assert (waiting["outcome"], waiting["waitsUntil"]) == ("waiting", "2026-03-01T13:00:00Z")
    desk.clock.at += timedelta(hours=1)
    assert (await desk.observations.explanation(APP, "e1"))["outcome"] == "offer"


async def test_the_summary_counts_who_runs_what_and_how_it_went(desk: Desk) -> None:
    await fleet(desk)
    assert await desk.observations.summary(APP) == {
        "endpoints": 4,
        "byVersion": {"1.1.0": 1, "1.0.0": 2},
        "unknownVersion": 1,
        "unseen": None,
        "frozen": None,
        "byState": {"offered": 1, "confirmed": 1, "failed": 1},
        "failures": [{"version": "1.1.0", "reason": "no room left", "endpoints": 1}],
    }


async def test_the_summary_says_how_many_were_silent_when_they_were_counted_last(desk: Desk) -> None:
    await fleet(desk)
    key = desk.observations.entry(APP).application.key
    desk.silences.count([key], {key: 3})
    assert (await desk.observations.summary(APP))["unseen"] == 3


async def test_invariant_7_offers_of_stopped_software_count_as_withdrawn_at_once(desk: Desk) -> None:
    await fleet(desk)
    await desk.definitions.recall(APP, Version.parse("1.1.0"))
    assert (await desk.observations.summary(APP))["byState"] == {"confirmed": 1, "failed": 1, "withdrawn": 1}
    edges = (await desk.observations.graph(APP))["edges"]
    assert edges == [{"from": "1.0.0", "to": "1.1.0", "offered": 0, "failed": 1}]
    await desk.sweep()
    assert (await desk.observations.summary(APP))["byState"] == {"confirmed": 1, "failed": 1, "withdrawn": 1}


async def test_a_started_install_of_suspended_software_still_counts_as_installing(desk: Desk) -> None:
    await fleet(desk)
    progress = Progressed(version=Version.parse("1.1.0"), state="downloading", at=desk.clock.at)
    await desk.hear("e1", progress)
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    assert (await desk.observations.summary(APP))["byState"] == {"installing": 1, "confirmed": 1, "failed": 1}


async def test_the_graph_holds_what_is_defined_and_what_runs(desk: Desk) -> None:
    await fleet(desk)
    await desk.define("2.0.0", "1.5.0")
    graph = await desk.observations.graph(APP)
    plain = {"strategy": "general", "recalled": False, "defined": True, "deadEnd": False}
    assert graph["versions"] == [
        {"version": "1.0.0", "endpoints": 2, **plain, "strategy": None, "defined": False, "reachable": True},
        {"version": "1.1.0", "endpoints": 1, **plain, "reachable": True, "deadEnd": True},
        {"version": "2.0.0", "endpoints": 0, **plain, "reachable": False},
    ]
    assert graph["edges"] == [{"from": "1.0.0", "to": "1.1.0", "offered": 1, "failed": 1}]


async def test_an_application_without_endpoints_has_an_empty_summary(desk: Desk) -> None:
    assert await desk.observations.summary(APP) == {
        "endpoints": 0,
        "byVersion": {},
        "unknownVersion": 0,
        "unseen": None,
        "frozen": None,
        "byState": {},
        "failures": [],
    }
    with pytest.raises(NotFoundError):
        await desk.observations.summary("other")
    with pytest.raises(NotFoundError):
        await desk.observations.graph("other")
