from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.application import failures
from orchestrator.application.commands import Commands, UseCases
from orchestrator.application.documents import texts
from orchestrator.application.problems import (
    MemberError,
    NotFoundError,
    PreconditionFailedError,
    SoftwareSuspendedError,
)
from orchestrator.domain.errors import DomainError
from orchestrator.domain.rollouts import IllegalRolloutMove
from protocol import controls
from protocol.controls import Command
from protocol.links import Inbound
from protocol.payloads import Limits
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

# A decoded answer, which tests index as they please.
Json = Any
LIMITS = Limits()


def commands_of(desk: Desk) -> Commands:
    use_cases = UseCases(
        definitions=desk.definitions,
        endpoints=desk.endpoints,
        freezes=desk.freezes,
        observations=desk.observations,
        plans=desk.plans,
        rollouts=desk.rollouts,
        now=desk.clock.now,
    )
    return Commands(use_cases, LIMITS)


async def run(desk: Desk, command: str, /, **members: object) -> Json:
    """Execute a command; return its answer as whoever reads it has it."""
    return await run_in(APP, desk, command, members)


async def run_in(application: str, desk: Desk, command: str, members: dict[str, object]) -> Json:
    topic = f"otao/v1/{application}/control/{command}"
    request = controls.read(Inbound(topic=topic, payload=json.dumps(members).encode()))
    assert request is not None
    return json.loads(texts.build(await commands_of(desk).execute(request)))


BODY: dict[str, object] = {"rolloutStrategy": "general", "specification": {"ratio": 1.10}}


async def test_a_software_that_is_put_twice_is_there_once(desk: Desk) -> None:
    first = await run(desk, "software.put", version="1.1.0", **BODY)
    again = await run(desk, "software.put", version="1.1.0", **BODY)
    assert (first["created"], again["created"]) == (True, False)
    assert first["etag"] == again["etag"]
    assert [entry.action.value for entry in desk.bells.changes].count("software.put") == 1


async def test_a_change_that_may_stop_offers_closes_the_gate_whatever_was_there_before(desk: Desk) -> None:
    before = desk.gate.closings
    await run(desk, "software.put", version="1.1.0", **BODY)
    assert desk.gate.closings == before + 1


async def test_a_tag_that_is_given_has_to_fit(desk: Desk) -> None:
    with pytest.raises(PreconditionFailedError):
        await run(desk, "software.put", version="1.1.0", ifMatch="*", **BODY)
    put = await run(desk, "software.put", version="1.1.0", **BODY)
    await run(desk, "software.put", version="1.1.0", ifMatch=put["etag"], **{**BODY, "rolloutStrategy": "suspended"})
    with pytest.raises(PreconditionFailedError):
        await run(desk, "software.delete", version="1.1.0", ifMatch=put["etag"])
    assert await run(desk, "software.delete", version="1.1.0", ifMatch="*") == {"withdrawn": 0}


async def test_members_that_are_only_read_may_come_back_unchanged_and_not_otherwise(desk: Desk) -> None:
    await run(desk, "software.put", version="1.1.0", **BODY)
    got = await run(desk, "software.get", version="1.1.0")
    tag = got.pop("etag")
    again = await run(desk, "software.put", ifMatch=tag, **got)
    assert (again["etag"], again["created"]) == (tag, False)
    with pytest.raises(MemberError, match="createdAt"):
        await run(desk, "software.put", **{**got, "createdAt": "2020-01-01T00:00:00Z"})


async def test_the_reason_and_the_author_are_kept(desk: Desk) -> None:
    await run(desk, "software.put", version="1.1.0", reason="first try", **BODY)
    await run(desk, "software.recall", version="1.1.0", reason="leaks")
    await run(desk, "freeze", reason="pause")
    await run(desk, "unfreeze", reason="go on")
    await desk.enrol("e1")
    told = [(entry.action.value, entry.author.name, entry.author.reason) for entry in desk.bells.changes[1:5]]
    assert told == [
        ("software.put", "mqtt", "first try"),
        ("software.recall", "mqtt", "leaks"),
        ("freeze.set", "mqtt", "pause"),
        ("freeze.lift", "mqtt", "go on"),
    ]
    with pytest.raises(MemberError, match="500"):
        await run(desk, "software.put", version="1.1.0", reason="x" * 501, **BODY)


WRITES: list[tuple[str, dict[str, object], str]] = [
    ("software.put", {"version": "1.1.0", "upgradableFrom": ["1.0.0"], **BODY}, "software.put"),
    ("software.put", {"version": "3.0.0", **BODY}, "software.put"),
    ("endpoint.retry", {"endpointId": "e1"}, "endpoint.retry"),
    ("freeze", {}, "freeze.set"),
    ("unfreeze", {}, "freeze.lift"),
    ("rollout.pause", {"version": "1.1.0"}, "rollout.pause"),
    ("rollout.resume", {"version": "1.1.0"}, "rollout.resume"),
    ("rollout.approve", {"version": "1.1.0"}, "rollout.approve"),
    ("rollout.abort", {"version": "1.1.0"}, "rollout.abort"),
    ("software.recall", {"version": "1.1.0"}, "software.recall"),
    ("software.delete", {"version": "3.0.0"}, "software.delete"),
]
"""Commands with their members, in an order in which each changes something, and what the audit calls them."""


async def test_invariant_11_every_command_that_writes_leaves_an_entry_of_its_author(desk: Desk) -> None:
    assert {command for command, _, _ in WRITES} == {command.value for command in set(Command) - controls.READING}
    for command, members, action in WRITES:
        if command == "endpoint.retry":
            await desk.enrol("e1", "1.0.0")
            await desk.report("e1", "1.1.0", 500)
        before = len(await desk.audits.list(APP, None, 100))
        await run(desk, command, reason=f"because of {action}", **members)
        entries = await desk.audits.list(APP, None, 100)
        fresh = [stored.entry for stored in entries[: len(entries) - before]]
        told = [(entry.action.value, entry.author.name, entry.author.via.value, entry.author.reason) for entry in fresh]
        assert told == [(action, "mqtt", "mqtt", f"because of {action}")]


async def test_an_endpoint_is_answered_with_its_tag(desk: Desk) -> None:
    document = await desk.enrol("e1", "1.0.0")
    for command in ("endpoint.get", "endpoint.retry"):
        assert (await run(desk, command, endpointId="e1"))["etag"] == desk.tag(document)
    assert (await run(desk, "endpoint.explain", endpointId="e1"))["runningVersion"] == "1.0.0"


async def test_a_freeze_that_says_not_frozen_lifts(desk: Desk) -> None:
    assert (await run(desk, "freeze"))["frozen"] is True
    assert (await run(desk, "freeze", frozen=False))["frozen"] is False


async def test_reading_commands_answer_what_there_is(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    assert [item["version"] for item in await run(desk, "software.list")] == ["1.1.0"]
    assert (await run(desk, "fleet.summary"))["endpoints"] == 0
    assert (await run(desk, "plan", software={"version": "2.0.0", **BODY}))["endpoints"] == 0


@pytest.mark.parametrize(
    ("command", "members", "code"),
    [
        ("software.get", {}, "member-missing"),
        ("software.get", {"version": None}, "member-missing"),
        ("software.get", {"version": 1}, "member-type"),
        ("software.get", {"version": "1"}, "invalid-version"),
        ("software.get", {"version": "1.0.0", "x": 1}, "member-unknown"),
        ("software.list", {"x": 1}, "member-unknown"),
        ("software.delete", {"version": "1.0.0", "x": 1}, "member-unknown"),
        ("software.recall", {"version": "1.0.0", "x": 1}, "member-unknown"),
        ("endpoint.get", {"endpointId": "e", "x": 1}, "member-unknown"),
        ("endpoint.explain", {"endpointId": "e", "x": 1}, "member-unknown"),
        ("endpoint.retry", {"endpointId": "e", "x": 1}, "member-unknown"),
        ("fleet.summary", {"x": 1}, "member-unknown"),
        ("plan", {"x": 1}, "member-unknown"),
        ("freeze", {"x": 1}, "member-unknown"),
        ("unfreeze", {"frozen": True}, "member-unknown"),
        ("software.put", {"version": "1.0.0", "reason": 1, **BODY}, "member-type"),
        ("rollout.get", {"version": "1.0.0", "reason": "x"}, "member-unknown"),
        ("rollout.pause", {"version": "1.0.0", "x": 1}, "member-unknown"),
        ("rollout.resume", {}, "member-missing"),
        ("rollout.abort", {"version": "1.0.0", "reason": 1}, "member-type"),
        ("rollout.approve", {"version": "1"}, "invalid-version"),
        ("rollout.approve", {"version": "1.0.0", "stage": -1}, "member-invalid"),
        ("rollout.approve", {"version": "1.0.0", "stage": "0"}, "member-type"),
    ],
)
async def test_members_are_read_strictly(desk: Desk, command: str, members: dict[str, object], code: str) -> None:
    with pytest.raises((MemberError, DomainError)) as caught:
        await run(desk, command, **members)
    failure = failures.of(caught.value)
    assert failure is not None
    assert (failure.status_code, failure.code) == (422, code)
    assert len(desk.bells.changes) == 1


@pytest.mark.parametrize("command", [item for item in Command if item is not Command.PLAN])
async def test_every_command_of_an_unknown_application_is_refused(desk: Desk, command: Command) -> None:
    members: dict[str, object] = {}
    if command.startswith(("software", "rollout")) and command is not Command.SOFTWARE_LIST:
        members = {"version": "1.1.0", **(BODY if command is Command.SOFTWARE_PUT else {})}
    elif command.startswith("endpoint"):
        members = {"endpointId": "e1"}
    with pytest.raises(NotFoundError, match="nobody"):
        await run_in("nobody", desk, command, members)


STAGED = {"stages": [{"percent": 50, "minAttempted": 1, "maxFailureRate": 0.5}, {"percent": 100}]}


async def test_a_rollout_is_paused_resumed_approved_and_aborted(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    read = await run(desk, "rollout.get", version="1.1.0")
    assert (read["state"], read["stage"], "withdrawn" in read) == ("running", 0, False)
    paused = await run(desk, "rollout.pause", version="1.1.0", reason="bricks")
    assert (paused["state"], paused["summary"], paused["withdrawn"]) == ("paused", "paused: bricks", 0)
    assert (paused["by"], paused["reason"]) == ("mqtt", "bricks")
    assert (await run(desk, "rollout.resume", version="1.1.0"))["state"] == "running"
    assert (await run(desk, "rollout.approve", version="1.1.0"))["stage"] == 1
    assert (await run(desk, "rollout.abort", version="1.1.0"))["state"] == "aborted"
    actions = ["rollout.pause", "rollout.resume", "rollout.approve", "rollout.abort"]
    assert [entry.action.value for entry in desk.bells.changes[-4:]] == actions
    assert {entry.author.name for entry in desk.bells.changes[-4:]} == {"mqtt"}


async def test_an_approval_that_names_its_stage_leaves_no_other(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    for _ in range(2):
        answer = await run(desk, "rollout.approve", version="1.1.0", stage=0, reason="quiet so far")
        assert (answer["stage"], answer["state"], answer["reason"]) == (1, "running", "quiet so far")
    assert [entry.action.value for entry in desk.bells.changes].count("rollout.approve") == 1


async def test_a_rollout_that_is_moved_twice_is_moved_once(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    for command in ("rollout.pause", "rollout.resume", "rollout.abort"):
        before = len(desk.bells.changes)
        first = await run(desk, command, version="1.1.0")
        assert await run(desk, command, version="1.1.0") == first
        assert len(desk.bells.changes) == before + 1


async def test_a_rollout_of_suspended_software_is_a_conflict_with_a_way_out(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    for command in ("rollout.pause", "rollout.resume", "rollout.approve"):
        with pytest.raises(SoftwareSuspendedError) as caught:
            await run(desk, command, version="1.1.0")
        failure = failures.of(caught.value)
        assert failure is not None
        assert (failure.status_code, failure.code) == (409, "rollout-state")


async def test_what_a_rollout_is_too_far_for_is_a_conflict(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    await run(desk, "rollout.abort", version="1.1.0")
    with pytest.raises(IllegalRolloutMove) as caught:
        await run(desk, "rollout.resume", version="1.1.0")
    failure = failures.of(caught.value)
    assert failure is not None
    assert (failure.status_code, failure.code) == (409, "rollout-state")
