from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import drafts, handling
from orchestrator.application.handling import Handling
from orchestrator.application.records import Draft, EndpointRecord
from orchestrator.application.refusals import OperatorKeyError
from orchestrator.domain.attempts import AttemptState, move
from orchestrator.domain.endpoints import Consent, HistoryKind
from protocol import requests
from protocol.links import Inbound
from protocol.requests import Echo, ForeignPush
from tests.contract.storages import APP, MINUTE, NOW, entry_of
from tests.unit.orchestrator.domain.builders import endpoint, general, offer, suspended, v

if TYPE_CHECKING:
    from orchestrator.application.answers import Answer
    from orchestrator.application.directory import Entry
    from orchestrator.domain.endpoints import Endpoint
    from protocol.payloads import JsonValue
    from protocol.requests import Request

KETTLE = replace(APP, key=1, operator_keys=("ring",))
AT = NOW + MINUTE
OFFERED = endpoint("1.0.0", offer("1.1.0"))
BODY = b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"1.1.0"}}'
NOTHING = b'{"configId":"","config":null}'


def entry() -> Entry:
    return entry_of(KETTLE, [general("1.0.0"), general("1.1.0", "1.0.0")])


CAREFUL = entry_of(replace(KETTLE, consent="required"), [general("1.0.0"), general("1.1.0", "1.0.0")])
"""The same where nothing is offered without consent."""


def begin(state: Endpoint = OFFERED) -> Draft:
    return drafts.begin(
        EndpointRecord(
            key=7,
            application=1,
            endpoint_id="kettle-7",
            app_version="kettle-v1",
            token="tok",
            endpoint=state,
            push_revision=3,
        )
    )


def inbound(resource: str, payload: str = "{}", qos: int = 1) -> Inbound:
    instance = "cmx_ota" if resource.startswith(("config", "applied", "progress", "health", "consent")) else "epmx"
    return Inbound(topic=f"kp1/kettle-v1/{instance}/tok/{resource}", payload=payload.encode(), qos=qos)


def parsed(message: Inbound) -> Request:
    request = requests.parse(message)
    assert not isinstance(request, ForeignPush | Echo)
    return request


def apply(
    draft: Draft,
    message: Inbound,
    attributes: dict[str, JsonValue] | None = None,
    *,
    implicit: bool = True,
    of: Entry | None = None,
) -> Handling:
    found = Handling(
        draft, of or entry(), attributes={} if attributes is None else attributes, watermark=3, implicit=implicit
    )
    request = parsed(message)
    found.check(request)
    found.apply(request, AT)
    return found


def answer(
    draft: Draft, message: Inbound, attributes: dict[str, JsonValue] | None = None, of: Entry | None = None
) -> Answer | None:
    request = parsed(message)
    topic = requests.answer_topic(message, request.address)
    return handling.answer(request, message, topic, draft, of or entry(), attributes or {})


def kinds(draft: Draft) -> list[HistoryKind]:
    return [item.kind for item in draft.entries]


# What requests do


def test_a_report_is_the_endpoints_word_on_what_it_runs() -> None:
    draft = begin()
    apply(draft, inbound("applied/json", '{"configId":"1.1.0"}'))
    assert (draft.after.running, draft.after.offer) == (v("1.1.0"), None)
    assert kinds(draft) == [HistoryKind.REPORTED, HistoryKind.CONFIRMED]


@pytest.mark.parametrize("code", [100, 199, 300, 404, 500])
def test_every_code_but_2xx_is_a_failure_with_its_reason(code: int) -> None:
    draft = begin()
    apply(draft, inbound("applied/json", f'{{"configId":"1.1.0","statusCode":{code},"reasonPhrase":"no room"}}'))
    assert draft.after.running == v("1.0.0")
    assert kinds(draft) == [HistoryKind.REPORTED, HistoryKind.FAILED]
    assert draft.after.setbacks[v("1.1.0")].reason == "no room"


def test_a_config_id_in_a_request_is_a_report_unless_that_is_turned_off() -> None:
    reported, silent = begin(), begin()
    apply(reported, inbound("config/json", '{"configId":"1.1.0"}'))
    apply(silent, inbound("config/json", '{"configId":"1.1.0"}'), implicit=False)
    assert (reported.after.running, silent.after.running) == (v("1.1.0"), v("1.0.0"))
    assert kinds(silent) == []


def test_a_request_reaches_the_attempt_and_may_decline_pushes() -> None:
    draft = begin()
    apply(draft, inbound("config/json", '{"observe":false}'))
    assert not draft.after.observe
    assert draft.push
    assert draft.after.attempt is not None
    assert draft.after.attempt.reached_at == AT
    apply(draft, inbound("config/json", "{}"))
    assert not draft.after.observe
    apply(draft, inbound("config/json", '{"observe":true}'))
    assert draft.after.observe


def test_progress_starts_the_install() -> None:
    draft = begin()
    apply(draft, inbound("progress/json", '{"configId":"1.1.0","state":"downloading","percent":40}'))
    attempt = draft.after.attempt
    assert attempt is not None
    assert (attempt.state, attempt.percent, attempt.progress) == (AttemptState.INSTALLING, 40, "downloading")


def test_health_is_about_what_runs_unless_it_names_a_version() -> None:
    soaking = offer("1.1.0")
    for state in (AttemptState.INSTALLING, AttemptState.SOAKING):
        soaking = move(soaking, state, NOW)
    draft = begin(endpoint("1.1.0", soaking))
    apply(draft, inbound("health/json", '{"healthy":false,"reason":"too hot","configId":"1.0.0"}'))
    assert kinds(draft) == []
    assert draft.after.last_seen_at == AT
    apply(draft, inbound("health/json", '{"healthy":false,"reason":"too hot"}'))
    apply(draft, inbound("health/json", '{"healthy":true,"configId":"1.1.0"}'))
    assert kinds(draft) == [HistoryKind.UNHEALTHY, HistoryKind.RECOVERED]
    assert (draft.entries[0].version, draft.entries[0].reason) == (v("1.1.0"), "too hot")


def asked(granted: str) -> Inbound:
    return inbound("consent/json", f'{{"configId":"1.1.0","granted":{granted},"reasonPhrase":"tea time"}}')


def test_an_answer_is_consent_by_the_endpoint_which_was_heard() -> None:
    draft = begin(replace(endpoint("1.0.0"), asked=v("1.1.0"), consulted=True))
    apply(draft, asked("true"), of=CAREFUL)
    assert draft.after.last_seen_at == AT
    assert draft.after.consents[v("1.1.0")] == Consent(granted=True, at=AT, reason="tea time")
    assert (draft.after.asked, draft.push) == (None, True)
    assert draft.after.offer is not None
    assert kinds(draft) == [HistoryKind.CONSENTED, HistoryKind.OFFERED]


def test_a_refusal_ends_the_ask_and_said_again_it_pushes_nothing() -> None:
    draft = begin(replace(endpoint("1.0.0"), asked=v("1.1.0"), consulted=True))
    apply(draft, asked("false"), of=CAREFUL)
    assert (draft.after.asked, draft.after.offer, draft.push) == (None, None, True)
    assert kinds(draft) == [HistoryKind.REFUSED]
    assert draft.after.setbacks == {}
    again = begin(draft.after)
    apply(again, asked("false"), of=CAREFUL)
    assert (again.push, kinds(again)) == (False, [])
    assert again.after.consents == draft.after.consents


@pytest.mark.parametrize("version", ["9.9.9", "1.0.0"])
def test_an_answer_about_what_is_not_defined_or_runs_already_says_only_that_it_is_there(version: str) -> None:
    draft = begin(replace(endpoint("1.0.0"), asked=v("1.1.0"), consulted=True))
    apply(draft, inbound("consent/json", f'{{"configId":"{version}","granted":true}}'), of=CAREFUL)
    assert (draft.after.consents, draft.after.asked, draft.after.last_seen_at) == ({}, v("1.1.0"), AT)


@pytest.mark.parametrize(
    ("resource", "payload", "after"),
    [
        ("update/keys/1", '{"site":"field","new":[1]}', {"ring": 1, "site": "field", "old": True, "new": [1]}),
        # What operators own is not the endpoint's to remove.
        ("update/1", '{"new":null}', {"ring": 1, "new": None}),
        ("delete/keys/1", '["old","never"]', {"ring": 1, "site": "lab"}),
    ],
)
def test_attributes_are_edited(resource: str, payload: str, after: dict[str, JsonValue]) -> None:
    attributes: dict[str, JsonValue] = {"ring": 1, "site": "lab", "old": True}
    draft = begin()
    apply(draft, inbound(resource, payload), attributes)
    assert attributes == after
    assert json.loads(draft.new_attributes or "") == after
    assert draft.after.last_seen_at == AT


@pytest.mark.parametrize(("resource", "payload"), [("get/1", ""), ("get/1", '{"keys":["site"]}'), ("get/keys/1", "")])
def test_reading_attributes_changes_none(resource: str, payload: str) -> None:
    attributes: dict[str, JsonValue] = {"site": "lab"}
    draft = begin()
    apply(draft, inbound(resource, payload), attributes)
    assert attributes == {"site": "lab"}
    assert draft.new_attributes is None
    assert draft.after.last_seen_at == AT


@pytest.mark.parametrize(
    ("resource", "payload"),
    [("update/keys", '{"site":"x","ring":2}'), ("update", '{"ring":1}'), ("delete/keys", '["site","ring"]')],
)
def test_attributes_of_operators_are_not_written_by_endpoints(resource: str, payload: str) -> None:
    attributes: dict[str, JsonValue] = {"ring": 1}
    draft = begin()
    with pytest.raises(OperatorKeyError, match="ring") as caught:
        apply(draft, inbound(resource, payload), attributes)
    assert (caught.value.code, caught.value.status_code) == ("operator-key", 403)
    assert attributes == {"ring": 1}
    assert not drafts.changed(draft)


# What goes back


@pytest.mark.parametrize("qos", [0, 1])
def test_a_request_is_answered_with_the_offer_and_its_own_qos(qos: int) -> None:
    found = answer(begin(), inbound("config/json/29", qos=qos))
    assert found is not None
    assert found.message.topic == "kp1/kettle-v1/cmx_ota/tok/config/json/29/status"
    assert (found.message.payload, found.message.qos, found.message.retain) == (BODY, qos, False)
    assert (found.application, found.version, found.started) == (1, v("1.1.0"), False)


def test_a_request_without_an_identifier_is_answered_on_the_topic_that_clients_wait_on() -> None:
    found = answer(begin(), inbound("config/json"))
    assert found is not None
    assert found.message.topic == "kp1/kettle-v1/cmx_ota/tok/config/json/status"


@pytest.mark.parametrize(
    ("running", "payload", "body"),
    [
        ("1.1.0", "{}", NOTHING),
        ("1.1.0", '{"configId":"1.1.0"}', b"{}"),
        ("1.1.0", '{"configId":"1.0.0"}', NOTHING),
        (None, "{}", NOTHING),
    ],
)
def test_without_an_offer_nothing_is_answered_that_a_client_would_flash(
    running: str | None, payload: str, body: bytes
) -> None:
    found = answer(begin(endpoint(running)), inbound("config/json/1", payload))
    assert found is not None
    assert (found.message.payload, found.version) == (body, None)


def test_an_endpoint_that_declined_pushes_is_answered_all_the_same() -> None:
    found = answer(begin(replace(OFFERED, observe=False)), inbound("config/json/1"))
    assert found is not None
    assert found.message.payload == BODY


def test_invariant_7_a_stopped_offer_is_not_answered() -> None:
    stopped = entry_of(KETTLE, [suspended("1.1.0", "1.0.0")])
    found = answer(begin(), inbound("config/json/1"), of=stopped)
    assert found is not None
    assert found.message.payload == NOTHING
    started = begin(endpoint("1.0.0", move(offer("1.1.0"), AttemptState.INSTALLING, NOW)))
    going_on = answer(started, inbound("config/json/1"), of=stopped)
    assert going_on is not None
    assert (going_on.message.payload, going_on.started) == (BODY, True)


@pytest.mark.parametrize(
    ("resource", "payload"),
    [
        ("applied/json", '{"configId":"1.1.0"}'),
        ("progress/json", '{"configId":"1.1.0","state":"rebooting"}'),
        ("health/json", '{"healthy":true}'),
        ("consent/json", '{"configId":"1.1.0","granted":true}'),
        ("update", '{"a":1}'),
        ("update/keys", '{"a":1}'),
        ("delete/keys", '["a"]'),
    ],
)
def test_what_changes_something_is_confirmed_with_nothing_when_it_has_an_identifier(
    resource: str, payload: str
) -> None:
    message = inbound(f"{resource}/0", payload)
    found = answer(begin(), message)
    assert found is not None
    assert (found.message.topic, found.message.payload) == (f"{message.topic}/status", b"")
    assert answer(begin(), inbound(resource, payload)) is None
    wanted = replace(
        inbound(resource, payload),
        response_topic="kp1/kettle-v1/cmx_ota/tok/mine",
        correlation_data=b"c",
    )
    asked = answer(begin(), wanted)
    assert asked is not None
    assert (asked.message.topic, asked.message.correlation_data) == ("kp1/kettle-v1/cmx_ota/tok/mine", b"c")


@pytest.mark.parametrize(
    ("resource", "payload", "body"),
    [
        ("get/1", "", b'{"ring":1,"site":"lab"}'),
        ("get/1", '{"keys":["site","never"]}', b'{"site":"lab"}'),
        ("get/1", '{"keys":[]}', b"{}"),
        ("get/keys/1", "", b'["ring","site"]'),
    ],
)
def test_attributes_are_read(resource: str, payload: str, body: bytes) -> None:
    found = answer(begin(), inbound(resource, payload), {"ring": 1, "site": "lab"})
    assert found is not None
    assert found.message.payload == body
