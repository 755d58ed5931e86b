from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import endpoints as documents
from orchestrator.application.documents.endpoints import EndpointBody
from orchestrator.application.preconditions import UNCONDITIONAL, Precondition
from orchestrator.application.problems import (
    AppVersionUnknownError,
    MemberError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
    TokenTakenError,
)
from orchestrator.application.records import EndpointQuery
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind, TokenState
from orchestrator.domain.facts import ObserveAsked, Progressed
from orchestrator.domain.versions import Version
from protocol import payloads
from tests.unit.orchestrator.application.desks import (
    APP,
    CREATE,
    LIMITS,
    application_body,
    endpoint_body,
    open_desk,
    required,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.records import EndpointDocument
    from tests.unit.orchestrator.application.desks import Desk


def topic(token: str, app_version: str = "kettle-v1") -> str:
    return f"kp1/{app_version}/cmx_ota/{token}/config/json/status"


async def kinds(desk: Desk, endpoint_id: str) -> list[HistoryKind]:
    """What happened to an endpoint, newest first."""
    return [item.entry.kind for item in await desk.observations.history(APP, endpoint_id, None, 100)]


async def put(desk: Desk, endpoint_id: str, **members: object) -> EndpointDocument:
    document, _ = await desk.endpoints.put(APP, endpoint_id, endpoint_body(**members), UNCONDITIONAL)
    return document


# --- create


async def test_a_new_endpoint_has_its_own_name_as_token_and_the_only_application_version(desk: Desk) -> None:
    document = await desk.enrol("e1")
    assert (document.record.token, document.record.app_version) == ("e1", "kettle-v1")
    assert document.record.endpoint.registered_at == desk.clock.at
    assert document.record.endpoint.running is None


async def test_an_endpoint_that_cannot_be_a_token_needs_one(desk: Desk) -> None:
    with pytest.raises(MemberError) as caught:
        await desk.enrol("e.1")
    assert caught.value.code == "member-missing"
    assert (await desk.enrol("e.1", token="e1")).record.token == "e1"


async def test_a_token_belongs_to_one_endpoint_of_an_application(desk: Desk) -> None:
    await desk.enrol("e1", token="t")
    with pytest.raises(TokenTakenError):
        await desk.enrol("e2", token="t")
    with pytest.raises(NotFoundError):
        await desk.endpoints.get(APP, "e2")


async def test_an_application_version_must_be_one_of_the_applications(desk: Desk) -> None:
    with pytest.raises(AppVersionUnknownError):
        await desk.enrol("e1", appVersion="other-v1")


async def test_of_several_application_versions_one_must_be_named(tmp_path: Path) -> None:
    async with open_desk(tmp_path, appVersions=["kettle-v1", "kettle-v2"]) as desk:
        with pytest.raises(AppVersionUnknownError, match="appVersion is required; it has kettle-v1, kettle-v2"):
            await desk.enrol("e1")
        assert (await desk.enrol("e1", appVersion="kettle-v2")).record.app_version == "kettle-v2"


async def test_an_endpoint_is_created_with_its_offer(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    pushed = desk.bells.pushed
    document = await desk.enrol("e1")
    offer = document.record.endpoint.offer
    assert offer is not None
    assert (offer.version, offer.sequence, offer.offered_at) == (Version.parse("1.0.0"), 1, desk.clock.at)
    assert desk.bells.pushed == pushed + 1
    assert [push.token for push in await desk.storage.pushes(0, 10)] == ["e1"]


async def test_an_unknown_application_gets_no_endpoint(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await desk.endpoints.put("other", "e1", endpoint_body(), CREATE)


async def test_what_exists_is_not_replaced_without_a_precondition(desk: Desk) -> None:
    await desk.enrol("e1")
    for precondition, error in (
        (CREATE, PreconditionRequiredError),
        (required("0-0"), PreconditionFailedError),
        (Precondition(absent=True), PreconditionFailedError),
    ):
        with pytest.raises(error):
            await desk.endpoints.put(APP, "e1", endpoint_body(attributes={"a": 1}), precondition)
    assert (await desk.endpoints.get(APP, "e1")).attributes == "{}"


async def test_the_tag_covers_what_operators_edit_and_not_what_is_reported(desk: Desk) -> None:
    first = await desk.enrol("e1")
    reported = await desk.report("e1", "1.0.0")
    assert desk.tag(reported) == desk.tag(first)
    edited = await put(desk, "e1", attributes={"a": 1})
    assert desk.tag(edited) != desk.tag(first)
    assert desk.tag(await put(desk, "e1", attributes={"a": 1})) == desk.tag(edited)


# --- edit


async def test_attributes_are_stored_as_they_were_written(desk: Desk) -> None:
    document = await desk.enrol("e1", attributes={"b": [1, {"x": None}], "a": "é"})
    assert document.attributes == '{"b":[1,{"x":null}],"a":"\\u00e9"}'


async def test_a_name_is_stored_without_escapes_so_that_filters_find_it(desk: Desk) -> None:
    await desk.group("canary", "attributes.ring == 1 && attributes.place.hall == 'é:' && attributes.place['ä'] == 2")
    text = r'{"attributes":{"\u0072ing":1,"place":{"h\u0061ll":"\u00e9:","\u00e4":2}}}'
    body = EndpointBody.read(payloads.members(text, LIMITS), LIMITS)
    document, _ = await desk.endpoints.put(APP, "e1", body, CREATE)
    assert document.attributes == r'{"ring":1,"place":{"hall":"\u00e9:","ä":2}}'
    assert document.record.endpoint.filters == {"canary"}
    query = EndpointQuery(filter=desk.groups.get(APP, "canary").filter)
    assert [found.endpoint_id for found in await desk.observations.endpoints(APP, query)] == ["e1"]


async def test_other_attributes_are_another_decision_at_once(desk: Desk) -> None:
    await desk.group("canary", "attributes.ring == 1")
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await desk.enrol("e1", "1.0.0", attributes={"ring": 2})
    assert await desk.offer_of("e1") is None
    await put(desk, "e1", attributes={"ring": 1})
    assert await desk.offer_of("e1") == "1.1.0"
    await put(desk, "e1", attributes={"ring": 2})
    assert await desk.offer_of("e1") is None
    assert (await kinds(desk, "e1"))[:2] == [HistoryKind.WITHDRAWN, HistoryKind.OFFERED]


async def test_a_pin_leads_to_its_version_and_nowhere_else(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.define("1.2.0", "1.0.0", "1.1.0")
    await desk.enrol("e1", "1.0.0")
    assert await desk.offer_of("e1") == "1.2.0"
    await put(desk, "e1", pinned="1.1.0")
    assert await desk.offer_of("e1") == "1.1.0"
    await put(desk, "e1", pinned="1.0.0")
    assert await desk.offer_of("e1") is None


async def test_a_pin_may_name_what_nobody_has_defined(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0", pinned="7.7.7")
    [pinned] = [(await desk.endpoints.get(APP, "e1")).record.endpoint.pinned]
    assert pinned == Version.parse("7.7.7")


async def test_invariant_4_no_edit_moves_what_an_endpoint_runs(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    await put(desk, "e1", attributes={"a": 1}, pinned="1.1.0", token="t")
    await desk.endpoints.retry(APP, "e1", None)
    await desk.endpoints.change_token(APP, "e1", TokenState.SUSPENDED, None)
    endpoint = (await desk.endpoints.get(APP, "e1")).record.endpoint
    assert endpoint.running == Version.parse("1.0.0")
    assert (endpoint.running_since, endpoint.last_seen_at) == (desk.clock.at, desk.clock.at)


async def test_an_edit_that_leaves_the_decision_alone_pushes_nothing(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    pushes = await desk.storage.pushes(0, 10)
    await put(desk, "e1", attributes={"a": 1})
    assert await desk.storage.pushes(0, 10) == pushes


async def test_a_patch_sees_what_is_stored(desk: Desk) -> None:
    await desk.enrol("e1", attributes={"a": 1})

    def revised(document: EndpointDocument) -> EndpointBody:
        assert document.attributes == '{"a":1}'
        return endpoint_body(attributes={"a": 2})

    assert (await desk.endpoints.patch(APP, "e1", revised, UNCONDITIONAL)).attributes == '{"a":2}'
    with pytest.raises(NotFoundError):
        await desk.endpoints.patch(APP, "e2", revised, UNCONDITIONAL)


async def test_another_application_version_moves_the_push_topic(tmp_path: Path) -> None:
    async with open_desk(tmp_path, appVersions=["kettle-v1", "kettle-v2"]) as desk:
        await desk.define("1.0.0", "*")
        await desk.enrol("e1", appVersion="kettle-v1")
        await put(desk, "e1", appVersion="kettle-v2")
        assert await desk.cleared() == [topic("e1")]
        own = [push for push in await desk.storage.pushes(0, 10) if push.topic is None]
        assert (own[-1].app_version, own[-1].version) == ("kettle-v2", Version.parse("1.0.0"))
        await put(desk, "e1")
        assert (await desk.endpoints.get(APP, "e1")).record.app_version == "kettle-v2"


# --- tokens


async def test_a_new_token_moves_the_push_topic_and_keeps_the_offer(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    await desk.enrol("e1")
    changed = await desk.endpoints.change_token(APP, "e1", None, "t2")
    assert changed.record.token == "t2"
    assert await desk.offer_of("e1") == "1.0.0"
    assert await desk.cleared() == [topic("e1")]
    own = [push for push in await desk.storage.pushes(0, 10) if push.topic is None]
    assert own[-1].token == "t2"


async def test_a_token_in_a_put_is_the_same_as_a_new_one(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    await desk.enrol("e1")
    await put(desk, "e1", token="t2")
    assert await desk.cleared() == [topic("e1")]
    await put(desk, "e1")
    assert (await desk.endpoints.get(APP, "e1")).record.token == "t2"


async def test_without_words_a_token_is_exchanged_for_one_made_of_chance(desk: Desk) -> None:
    await desk.enrol("e1")
    first = await desk.endpoints.change_token(APP, "e1", None, None)
    second = await desk.endpoints.change_token(APP, "e1", None, None)
    assert len({"e1", first.record.token, second.record.token}) == 3
    assert len(first.record.token) >= 20


async def test_a_token_of_another_endpoint_is_not_taken(desk: Desk) -> None:
    await desk.enrol("e1")
    await desk.enrol("e2")
    with pytest.raises(TokenTakenError):
        await desk.endpoints.change_token(APP, "e1", None, "e2")
    with pytest.raises(TokenTakenError):
        await put(desk, "e1", token="e2")
    assert (await desk.endpoints.get(APP, "e1")).record.token == "e1"


@pytest.mark.parametrize("state", [TokenState.SUSPENDED, TokenState.REVOKED])
async def test_a_token_that_is_no_good_loses_its_offer_and_gets_it_again(desk: Desk, state: TokenState) -> None:
    await desk.define("1.0.0", "*")
    await desk.enrol("e1")
    closings = desk.gate.closings
    await desk.endpoints.change_token(APP, "e1", state, None)
    assert (await desk.offer_of("e1"), desk.gate.closings) == (None, closings + 1)
    restored = await desk.endpoints.change_token(APP, "e1", TokenState.ACTIVE, None)
    assert restored.record.token == "e1"
    assert await desk.offer_of("e1") == "1.0.0"


async def test_a_token_is_suspended_and_exchanged_in_one_call(desk: Desk) -> None:
    await desk.enrol("e1")
    changed = await desk.endpoints.change_token(APP, "e1", TokenState.REVOKED, "t2")
    assert (changed.record.token, changed.record.endpoint.token_state) == ("t2", TokenState.REVOKED)


# --- retry


async def test_a_retry_forgets_the_failures_of_one_version_or_of_all(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"attempts": {"max": 1}})
    await desk.enrol("e1", "1.0.0")
    failed = await desk.report("e1", "1.1.0", 507, "no room left")
    assert failed.record.endpoint.setbacks[Version.parse("1.1.0")].exhausted
    await desk.endpoints.retry(APP, "e1", Version.parse("9.9.9"))
    assert await desk.offer_of("e1") is None
    retried = await desk.endpoints.retry(APP, "e1", Version.parse("1.1.0"))
    offer = retried.record.endpoint.offer
    assert offer is not None
    assert (offer.sequence, offer.number) == (2, 1)
    await desk.report("e1", "1.1.0", 507)
    await desk.endpoints.retry(APP, "e1", None)
    assert await desk.offer_of("e1") == "1.1.0"


async def test_a_retry_ends_a_back_off(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    waiting = await desk.report("e1", "1.1.0", 500)
    assert waiting.due_at == desk.clock.at + timedelta(minutes=10)
    retried = await desk.endpoints.retry(APP, "e1", None)
    assert retried.due_at is None
    assert await desk.offer_of("e1") == "1.1.0"


async def test_there_is_nothing_to_retry_at_an_unknown_endpoint(desk: Desk) -> None:
    with pytest.raises(NotFoundError) as caught:
        await desk.endpoints.retry(APP, "e1", None)
    assert caught.value.code == "endpoint-not-found"


# --- delete


async def test_a_deleted_endpoint_leaves_neither_numbers_nor_a_retained_message(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    document = await desk.endpoints.get(APP, "e1")
    await desk.endpoints.delete(APP, "e1", required(desk.tag(document)))
    with pytest.raises(NotFoundError):
        await desk.endpoints.get(APP, "e1")
    assert await desk.cleared() == [topic("e1")]
    summary = await desk.observations.summary(APP)
    assert (summary["endpoints"], summary["byState"]) == (0, {})


async def test_a_name_can_be_used_again_after_a_deletion(desk: Desk) -> None:
    first = await desk.enrol("e1", "1.0.0")
    await desk.endpoints.delete(APP, "e1", UNCONDITIONAL)
    desk.clock.at += timedelta(seconds=1)
    second = await desk.enrol("e1")
    assert second.record.endpoint.running is None
    assert desk.tag(second) != desk.tag(first)
    assert await kinds(desk, "e1") == []


async def test_a_deletion_requires_a_precondition(desk: Desk) -> None:
    await desk.enrol("e1")
    with pytest.raises(PreconditionRequiredError):
        await desk.endpoints.delete(APP, "e1", CREATE)
    with pytest.raises(NotFoundError):
        await desk.endpoints.delete(APP, "e2", UNCONDITIONAL)


# --- what is shown


async def test_a_started_install_outlives_a_suspension_and_is_shown(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    now = desk.clock.at
    await desk.hear("e1", Progressed(version=Version.parse("1.1.0"), state="downloading", percent=40, at=now))
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    await desk.sweep()
    document = await desk.endpoints.get(APP, "e1")
    attempt = document.record.endpoint.attempt
    assert attempt is not None
    assert attempt.state is AttemptState.INSTALLING
    offer = documents.build(document, desk.revisions.entry(APP))["offer"]
    assert offer == {
        "version": "1.1.0",
        "sequence": 1,
        "state": "installing",
        "offeredAt": "2026-03-01T12:00:00Z",
        "attempt": 1,
        "percent": 40,
    }


async def test_an_endpoint_that_wants_no_pushes_is_not_pushed_to_by_an_edit(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0")
    await desk.hear("e1", ObserveAsked(observe=False, at=desk.clock.at))
    await desk.define("1.1.0", "1.0.0")
    await desk.sweep()
    pushes = await desk.storage.pushes(0, 10)
    await put(desk, "e1", attributes={"a": 1})
    await put(desk, "e1", pinned="1.0.0")
    assert await desk.storage.pushes(0, 10) == pushes


async def test_an_application_that_pushes_live_has_nothing_cleared_by_a_withdrawal(tmp_path: Path) -> None:
    async with open_desk(tmp_path, push="live") as desk:
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("e1", "1.0.0")
        before = len(await desk.storage.pushes(0, 10))
        await put(desk, "e1", pinned="1.0.0")
        assert len(await desk.storage.pushes(0, 10)) == before


async def test_another_way_of_pushing_writes_every_push_anew(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    await desk.applications.put(APP, application_body(push="live"), UNCONDITIONAL)
    await desk.sweep()
    assert await desk.cleared() == [topic("e1")]


async def test_the_engine_loads_an_endpoint_by_its_token_and_knows_its_name(desk: Desk) -> None:
    await desk.enrol("kettle-7", token="tok7")
    key = desk.revisions.entry(APP).application.key
    async with desk.storage.transaction() as transaction:
        for membership in (None, desk.directory.membership):
            (record,) = await transaction.find([(key, "tok7")], membership)
            assert (record.endpoint_id, record.token, record.app_version) == ("kettle-7", "tok7", "kettle-v1")
