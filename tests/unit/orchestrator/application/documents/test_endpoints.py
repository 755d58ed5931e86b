from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import endpoints, texts
from orchestrator.application.documents.endpoints import EndpointBody, RecallBody, RetryBody, TokenBody
from orchestrator.application.problems import MemberError
from orchestrator.application.records import StoredHistory
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind, TokenState
from orchestrator.domain.versions import Version
from protocol import payloads
from protocol.errors import AttributesTooLargeError, PayloadError
from tests.unit.orchestrator.application.desks import APP, LIMITS, START, open_desk

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.documents.bodies import Body
    from tests.unit.orchestrator.application.desks import Desk


def refused(kind: type[Body], text: str) -> str:
    with pytest.raises(MemberError) as caught:
        kind.read(payloads.members(text, LIMITS), LIMITS)
    return caught.value.code


def body(text: str) -> EndpointBody:
    return EndpointBody.read(payloads.members(text, LIMITS), LIMITS)


def test_everything_may_be_left_out() -> None:
    given = body("{}")
    assert (given.token, given.app_version, given.attributes, given.pin) == (None, None, "{}", None)


def test_attributes_keep_their_text() -> None:
    assert body('{"attributes": {"b": 1.10, "a": "\\u00e9"}}').attributes == '{"b":1.10,"a":"\\u00e9"}'


def test_a_pin_is_a_version() -> None:
    assert body('{"pinned":"1.0.0-rc.1+b"}').pin == Version.parse("1.0.0-rc.1")
    assert refused(EndpointBody, '{"pinned":"1.0"}') == "invalid-version"
    assert refused(EndpointBody, '{"pinned":"^1.0.0"}') == "invalid-version"
    assert refused(EndpointBody, '{"pinned":1}') == "member-type"


@pytest.mark.parametrize("token", ["", "a+b", "a#", "a/b", "a.b", "x" * 65, "a\\nb"])
def test_a_token_is_one_topic_level_without_dots(token: str) -> None:
    assert refused(EndpointBody, f'{{"token":"{token}"}}') == "member-invalid"
    assert refused(TokenBody, f'{{"token":"{token}"}}') == "member-invalid"


@pytest.mark.parametrize("attributes", ["[]", "null", '"a"', '{"a b":1}', '{"":1}', '{"é":1}', f'{{"{"a" * 65}":1}}'])
def test_attributes_are_an_object_with_plain_keys(attributes: str) -> None:
    assert refused(EndpointBody, f'{{"attributes":{attributes}}}') == "member-invalid"


@pytest.mark.parametrize("attributes", ['{"a":"\\u0000"}', '{"a":["\\ud800"]}', '{"a":{"\\u0000":1}}', '{"a":1e400}'])
def test_attributes_that_cannot_be_stored_are_refused(attributes: str) -> None:
    with pytest.raises(PayloadError):
        body(f'{{"attributes":{attributes}}}')


def test_attributes_are_no_more_and_no_larger_than_messages_may_make_them() -> None:
    text, many = "é" * (32 * 1024 - 4), {f"k{number}": 1 for number in range(1024)}
    assert body(json.dumps({"attributes": {"a": text}}, ensure_ascii=False)).attributes == f'{{"a":"{text}"}}'
    assert body(json.dumps({"attributes": many})).attributes
    for attributes in ({"a": text + "é"}, many | {"b": 1}):
        with pytest.raises(AttributesTooLargeError):
            body(json.dumps({"attributes": attributes}, ensure_ascii=False))


def test_a_tokens_state_is_one_of_three() -> None:
    given = TokenBody.read(payloads.members('{"state":"revoked"}', LIMITS), LIMITS)
    assert (given.state, given.token) == (TokenState.REVOKED, None)
    assert refused(TokenBody, '{"state":"gone"}') == "member-invalid"
    assert refused(TokenBody, '{"status":"active"}') == "member-unknown"


def test_a_retry_names_one_version_or_none() -> None:
    assert RetryBody.read({}, LIMITS).version is None
    assert RetryBody.read({"version": '"1.0.0"'}, LIMITS).version == "1.0.0"
    assert refused(RetryBody, '{"version":"latest"}') == "invalid-version"


def test_a_recall_has_a_reason_of_bounded_length() -> None:
    assert RecallBody.read({"reason": '"it bricks"'}, LIMITS).reason == "it bricks"
    assert refused(RecallBody, json.dumps({"reason": "x" * 501})) == "member-invalid"


async def test_the_document_holds_what_is_edited_and_what_is_reported(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0", token="t1", attributes={"site": "lab"}, pinned="1.1.0")
    document = endpoints.build(await desk.endpoints.get(APP, "e1"), desk.revisions.entry(APP))
    assert json.loads(texts.build(document)) == {
        "endpointId": "e1",
        "token": "t1",
        "tokenState": "active",
        "appVersion": "kettle-v1",
        "attributes": {"site": "lab"},
        "runningVersion": "1.0.0",
        "runningAsserted": False,
        "runningSince": "2026-03-01T12:00:00Z",
        "lastSeenAt": "2026-03-01T12:00:00Z",
        "registeredAt": "2026-03-01T12:00:00Z",
        "observe": True,
        "pinned": "1.1.0",
        "offer": {
            "version": "1.1.0",
            "sequence": 1,
            "state": "offered",
            "offeredAt": "2026-03-01T12:00:00Z",
            "attempt": 1,
            "percent": None,
        },
        "consentAsked": None,
    }


@pytest.mark.parametrize("state", [state for state in AttemptState if state is not AttemptState.OFFERED])
async def test_only_an_open_attempt_of_software_that_is_there_is_an_offer(desk: Desk, state: AttemptState) -> None:
    await desk.define("1.1.0", "1.0.0")
    document = await desk.enrol("e1", "1.0.0")
    for version, shown in (("1.1.0", state is AttemptState.INSTALLING), ("9.9.9", False)):
        attempt = Attempt(
            version=Version.parse(version), number=1, sequence=1, origin=None, offered_at=START, state=state
        )
        endpoint = replace(document.record.endpoint, attempt=attempt)
        changed = replace(document, record=replace(document.record, endpoint=endpoint))
        assert (endpoints.build(changed, desk.revisions.entry(APP))["offer"] is not None) is shown


async def test_invariant_7_an_ask_is_shown_until_it_is_answered_or_its_software_stopped(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        await desk.define("1.1.0", "1.0.0")
        document = await desk.enrol("e1", "1.0.0")
        assert endpoints.build(document, desk.revisions.entry(APP))["consentAsked"] == "1.1.0"
        await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
        assert endpoints.build(document, desk.revisions.entry(APP))["consentAsked"] is None
        await desk.define("1.1.0", "1.0.0")
        answered = await desk.endpoints.consent(APP, "e1", None, granted=True)
        assert endpoints.build(answered, desk.revisions.entry(APP))["consentAsked"] is None


def test_a_line_of_history_is_written_as_it_is() -> None:
    entry = HistoryEntry(
        at=START, kind=HistoryKind.REPORTED, version=Version.parse("1.0.0+b"), status_code=507, reason="no room left"
    )
    assert endpoints.build_history(StoredHistory(number=7, entry=entry)) == {
        "at": "2026-03-01T12:00:00Z",
        "kind": "reported",
        "version": "1.0.0+b",
        "statusCode": 507,
        "reason": "no room left",
    }
    retried = HistoryEntry(at=START, kind=HistoryKind.RETRIED)
    assert endpoints.build_history(StoredHistory(number=8, entry=retried))["version"] is None
