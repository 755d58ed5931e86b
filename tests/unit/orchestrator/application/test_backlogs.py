from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import backlogs
from orchestrator.application.answers import Answer
from orchestrator.application.backlogs import Backlog
from orchestrator.domain.versions import Version
from protocol.links import Outbound

if TYPE_CHECKING:
    import pytest

    from tests.unit.orchestrator.application.desks import Desk

OFFERED = b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"1.1.0"}}'
UNASSIGNED = b'{"configId":"","config":null}'


def answer(desk: Desk, token: str, version: str | None = "1.1.0", request_id: int = 1) -> Answer:
    topic = f"kp1/kettle-v1/cmx_ota/{token}/config/json/{request_id}/status"
    return Answer(
        message=Outbound(topic=topic, payload=OFFERED if version else b"", qos=0, correlation_data=b"c"),
        application=desk.revisions.entry("kettle").application.key,
        version=Version.parse(version) if version else None,
    )


async def test_only_answers_with_an_offer_are_held(desk: Desk) -> None:
    backlog = Backlog(desk.storage, desk.directory)
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    offer, other = answer(desk, "a"), answer(desk, "a", version=None)
    assert backlog.hold([offer, other]) == ([other], 0)
    assert await backlog.release() == [offer]
    assert await backlog.release() == []


async def test_released_answers_say_what_is_offered_now(desk: Desk) -> None:
    backlog = Backlog(desk.storage, desk.directory)
    await desk.define("1.1.0", "1.0.0")
    await desk.define("2.0.0", "1.1.0")
    for endpoint_id, running in (("same", "1.0.0"), ("moved", "1.1.0"), ("done", "2.0.0")):
        await desk.enrol(endpoint_id, running)
    names = ["same", "moved", "done", "gone", "same"]
    backlog.hold([answer(desk, name, request_id=number) for number, name in enumerate(names)])
    released = await backlog.release()
    payloads = [item.message.payload for item in released]
    assert payloads == [OFFERED, OFFERED.replace(b"1.1.0", b"2.0.0"), UNASSIGNED, UNASSIGNED, OFFERED]
    assert [None if item.version is None else item.version.text for item in released] == [
        "1.1.0",
        "2.0.0",
        None,
        None,
        "1.1.0",
    ]
    assert {(item.message.qos, item.message.correlation_data) for item in released} == {(0, b"c")}
    assert [item.message.topic.split("/")[-2] for item in released] == ["0", "1", "2", "3", "4"]


async def test_an_offer_that_was_stopped_meanwhile_is_not_released(desk: Desk) -> None:
    backlog = Backlog(desk.storage, desk.directory)
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    backlog.hold([answer(desk, "a")])
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    assert [item.message.payload for item in await backlog.release()] == [UNASSIGNED]


async def test_what_finds_no_room_is_dropped_and_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "MOST", 3)
    backlog = Backlog(desk.storage, desk.directory)
    assert backlog.hold([answer(desk, "a")] * 2) == ([], 0)
    assert backlog.hold([answer(desk, "a")] * 2) == ([], 1)
    assert backlog.hold([answer(desk, "a")] * 2) == ([], 2)
    assert backlog.drop() == 3
    assert backlog.drop() == 0
