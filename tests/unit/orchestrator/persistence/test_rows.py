from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from orchestrator.application.memberships import Belonging, Subject
from orchestrator.application.records import EndpointRecord
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import Endpoint, HistoryKind, TokenState
from orchestrator.persistence import rows
from orchestrator.persistence.dictionaries import Dictionary
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.schema import KEY_SPAN
from tests.contract.storages import MINUTE, NOW
from tests.properties.fleets import RUN, VERSIONS, endpoints
from tests.unit.orchestrator.domain.builders import offer

if TYPE_CHECKING:
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Row

KEY = 3 * KEY_SPAN + 17


def dictionary() -> Dictionary:
    found = Dictionary(app_versions={5: (3, "kettle-v1")}, app_version_ids={"kettle-v1": 5})
    for number, version in enumerate((*VERSIONS, *(version for version in RUN if version not in VERSIONS)), 1):
        if version is not None:
            found.add_version(number, 3, version)
    found.add_version(99, 3, RUN[-2] or VERSIONS[0])
    return found


def record_of(endpoint: Endpoint) -> EndpointRecord:
    return EndpointRecord(
        key=KEY,
        application=3,
        endpoint_id="kettle-7",
        app_version="kettle-v1",
        token="tok",
        endpoint=endpoint,
        push_revision=8,
        last_history=9,
    )


def decoded(row: Row, endpoint: Endpoint) -> EndpointRecord:
    """Read a row back; setbacks, consents and filters lie elsewhere."""
    return rows.decode(
        row,
        endpoint_id="kettle-7",
        token="tok",
        dictionary=dictionary(),
        setbacks=endpoint.setbacks,
        cohort=endpoint.cohort,
        registered_ms=to_ms(endpoint.registered_at),
        consents=endpoint.consents,
    )


@given(endpoint=endpoints())
def test_encode_and_decode_are_inverse(endpoint: Endpoint) -> None:
    row = rows.encode(record_of(endpoint), None, dictionary())
    assert len(row) == len(rows.STATE_COLUMNS)
    found = decoded(row, endpoint)
    assert found == record_of(endpoint)
    assert (found.endpoint.running or VERSIONS[0]).text == (endpoint.running or VERSIONS[0]).text


def test_an_endpoint_is_put_into_the_filters_that_look_at_it() -> None:
    seen = []

    def membership(application: int, subject: Subject) -> Belonging:
        seen.append((application, subject))
        return Belonging(frozenset({"lab"}), "Europe/Berlin")

    endpoint = Endpoint(registered_at=NOW, running=VERSIONS[0], last_seen_at=NOW)
    found = rows.grouped(record_of(endpoint), '{"site":"lab"}', to_ms(NOW - MINUTE), membership)
    assert found.endpoint == replace(endpoint, filters=frozenset({"lab"}), zone="Europe/Berlin")
    expected = Subject(
        attributes='{"site":"lab"}',
        endpoint_id="kettle-7",
        app_version="kettle-v1",
        running=VERSIONS[0],
        registered_at=NOW - MINUTE,
        last_seen_at=NOW,
    )
    assert found.subject == expected
    assert seen == [(3, expected)]


@pytest.mark.parametrize("progress", rows.PROGRESS_STATES)
def test_every_progress_is_kept(progress: str | None) -> None:
    attempt = replace(offer("1.1.0"), progress=progress, percent=0, returns=2, returned_at=NOW - MINUTE)
    endpoint = Endpoint(registered_at=NOW, attempt=attempt, sequence=1, last_seen_at=NOW)
    assert decoded(rows.encode(record_of(endpoint), None, dictionary()), endpoint) == record_of(endpoint)


def test_a_timer_and_the_flag_of_setbacks_are_columns() -> None:
    row = rows.encode(record_of(Endpoint(registered_at=NOW)), 1234, dictionary())
    named = dict(zip(rows.STATE_COLUMNS, row, strict=True))
    assert named["consents"] == 0
    assert (named["due_ms"], named["setbacks"], named["push_revision"], named["last_history_id"]) == (1234, 0, 8, 9)


def test_codes_are_what_databases_hold() -> None:
    """A code that changes makes every database lie: new ones go to the end."""
    assert [state.value for state in rows.ATTEMPT_STATES] == [
        "offered",
        "installing",
        "soaking",
        "confirmed",
        "failed",
        "reverted",
        "expired",
        "withdrawn",
    ]
    assert [state.value for state in rows.TOKEN_STATES] == ["active", "suspended", "revoked", "retired"]
    assert [kind.value for kind in rows.HISTORY_KINDS] == [
        "reported",
        "offered",
        "installing",
        "confirmed",
        "failed",
        "reverted",
        "expired",
        "withdrawn",
        "returned",
        "retried",
        "consented",
        "refused",
        "asserted",
        "soaking",
        "unhealthy",
        "recovered",
        "asked",
        "retired",
    ]
    assert set(rows.ATTEMPT_STATES) == set(AttemptState)
    assert set(rows.TOKEN_STATES) == set(TokenState)
    assert set(rows.HISTORY_KINDS) == set(HistoryKind)


@pytest.mark.parametrize("stage", [None, 0, 1, 9])
def test_stages_have_codes_of_which_0_is_none(stage: int | None) -> None:
    assert rows.stage_of(rows.stage_code(stage)) == stage
    assert (rows.stage_code(stage) == 0) == (stage is None)


@pytest.mark.parametrize(("asked", "consulted", "code"), [(None, False, 0), (None, True, -1), (VERSIONS[1], True, 2)])
def test_what_is_asked_and_that_it_was_asked_share_a_column(
    asked: Version | None, code: int, *, consulted: bool
) -> None:
    endpoint = Endpoint(registered_at=NOW, asked=asked, consulted=consulted)
    row = rows.encode(record_of(endpoint), None, dictionary())
    assert dict(zip(rows.STATE_COLUMNS, row, strict=True))["asked_id"] == code
    assert decoded(row, endpoint) == record_of(endpoint)


def test_a_trial_is_kept_whole() -> None:
    attempt = replace(
        offer("1.1.0"),
        state=AttemptState.SOAKING,
        stage=2,
        soaking_at=NOW - MINUTE,
        soak_reports=3,
        healthy=False,
        lapsed=True,
    )
    for healthy in (None, True, False):
        endpoint = Endpoint(registered_at=NOW, attempt=replace(attempt, healthy=healthy), sequence=1)
        assert decoded(rows.encode(record_of(endpoint), None, dictionary()), endpoint) == record_of(endpoint)


def test_a_timer_comes_back_with_the_endpoint() -> None:
    endpoint = Endpoint(registered_at=NOW)
    assert decoded(rows.encode(record_of(endpoint), to_ms(NOW), dictionary()), endpoint).due_at == NOW


def test_a_key_says_its_application() -> None:
    assert rows.application_of(KEY) == 3
