"""Endpoints as rows of `endpoint_state`, and back.

Rules: `decode` and `encode` are inverse; the order of `STATE_COLUMNS` is the order of both.
Layer: persistence; no I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.application.memberships import Subject
from orchestrator.application.records import EndpointRecord
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.endpoints import Endpoint, HistoryKind, TokenState
from orchestrator.persistence.instants import EPOCH, from_ms, from_ms_or_none, to_ms_or_none
from orchestrator.persistence.schema import KEY_SPAN, endpoint_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from orchestrator.application.ports import Membership
    from orchestrator.domain.endpoints import Consent, Setback
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dialects import Row
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.instants import Milliseconds

# The position in each of these tuples is what the database holds: append, never reorder.
TOKEN_STATES = (TokenState.ACTIVE, TokenState.SUSPENDED, TokenState.REVOKED, TokenState.RETIRED)
ATTEMPT_STATES = (
    AttemptState.OFFERED,
    AttemptState.INSTALLING,
    AttemptState.SOAKING,
    AttemptState.CONFIRMED,
    AttemptState.FAILED,
    AttemptState.REVERTED,
    AttemptState.EXPIRED,
    AttemptState.WITHDRAWN,
)
PROGRESS_STATES = (None, "downloading", "downloaded", "installing", "rebooting")
HISTORY_KINDS: tuple[HistoryKind, ...] = tuple(HistoryKind)

TOKEN_CODES = {state: code for code, state in enumerate(TOKEN_STATES)}
ATTEMPT_CODES = {state: code for code, state in enumerate(ATTEMPT_STATES)}
PROGRESS_CODES = {state: code for code, state in enumerate(PROGRESS_STATES)}
HISTORY_CODES = {kind: code for code, kind in enumerate(HISTORY_KINDS)}

STATE_COLUMNS: tuple[str, ...] = tuple(column.name for column in endpoint_state.columns)
_ATTEMPT = STATE_COLUMNS.index("attempt_version_id")
_AFTER_ATTEMPT = STATE_COLUMNS.index("due_ms")
_TRIAL = _AFTER_ATTEMPT - _ATTEMPT
"""Of an attempt's columns, those that stand beside each other; the others came later."""
WAS_ASKED = -1
"""Consent was asked for, and is not now."""


def application_of(key: int) -> int:
    """The application that an endpoint's key belongs to."""
    return key // KEY_SPAN


def decode(
    row: Sequence[Any],
    *,
    endpoint_id: str,
    token: str,
    dictionary: Dictionary,
    setbacks: Mapping[Version, Setback],
    cohort: int,
    registered_ms: int | None = None,
    consents: Mapping[Version, Consent] | None = None,
) -> EndpointRecord:
    """The endpoint of one row, given in the order of `STATE_COLUMNS`; in no filter yet."""
    due_ms, push_revision, last_history = row[_AFTER_ATTEMPT : _AFTER_ATTEMPT + 3]
    application, app_version = dictionary.app_versions[row[1]]
    endpoint = _decode_endpoint(
        row,
        dictionary,
        registered_at=EPOCH if registered_ms is None else from_ms(registered_ms),
        setbacks=setbacks,
        consents=consents or {},
        cohort=cohort,
    )
    return EndpointRecord(
        key=row[0],
        application=application,
        endpoint_id=endpoint_id,
        app_version=app_version,
        token=token,
        endpoint=endpoint,
        push_revision=push_revision,
        last_history=last_history,
        due_at=from_ms_or_none(due_ms),
    )


def _decode_endpoint(
    row: Sequence[Any],
    dictionary: Dictionary,
    *,
    registered_at: datetime,
    setbacks: Mapping[Version, Setback],
    consents: Mapping[Version, Consent],
    cohort: int,
) -> Endpoint:
    running_id, running_ms, seen_ms, token_state, observe, _, pinned_id, sequence = row[2:_ATTEMPT]
    asked_id = row[-1]
    return Endpoint(
        running=dictionary.version(running_id),
        running_since=from_ms_or_none(running_ms),
        last_seen_at=from_ms_or_none(seen_ms),
        registered_at=registered_at,
        observe=bool(observe),
        token_state=TOKEN_STATES[token_state],
        pinned=None if pinned_id is None else dictionary.version(pinned_id),
        sequence=sequence,
        attempt=_decode_attempt(row, dictionary) if row[_ATTEMPT] else None,
        setbacks=setbacks,
        consents=consents,
        asked=dictionary.version(asked_id) if asked_id > 0 else None,
        consulted=asked_id != 0,
        cohort=cohort,
        key=row[0],
    )


def grouped(record: EndpointRecord, attributes: str, registered_ms: int, membership: Membership) -> EndpointRecord:
    """The same endpoint with the filters that it is in; `attributes` are JSON text."""
    subject = Subject(
        attributes=attributes,
        endpoint_id=record.endpoint_id,
        app_version=record.app_version,
        running=record.endpoint.running,
        registered_at=from_ms(registered_ms),
        last_seen_at=record.endpoint.last_seen_at,
    )
    filters, zone = membership(record.application, subject)
    endpoint = record.endpoint
    if filters or zone is not None:
        endpoint = replace(endpoint, filters=filters, zone=zone)
    return replace(record, endpoint=endpoint, subject=subject)


def _decode_attempt(row: Sequence[Any], dictionary: Dictionary) -> Attempt:
    # Taken apart as a whole: slices and remainders would make lists, for every message.
    # fmt: off
    (
        _, _, _, _, _, _, _, _, _, sequence,
        version_id, origin_id, state, number, stage, offered, reached, settled, percent, progress,
        returns, returned, reason, _, _, _, _, soaking, soak_reports, healthy, lapsed, _,
    ) = row
    # fmt: on
    return Attempt(
        version=dictionary.versions[version_id],
        number=number,
        sequence=sequence,
        origin=dictionary.version(origin_id),
        state=ATTEMPT_STATES[state],
        offered_at=from_ms(offered),
        reached_at=from_ms_or_none(reached),
        settled_at=from_ms_or_none(settled),
        percent=percent,
        progress=PROGRESS_STATES[progress],
        returns=returns,
        returned_at=from_ms_or_none(returned),
        reason=reason,
        stage=stage_of(stage),
        soaking_at=from_ms_or_none(soaking),
        soak_reports=soak_reports,
        healthy=None if healthy is None else bool(healthy),
        lapsed=bool(lapsed),
    )


def encode(
    record: EndpointRecord, due_ms: int | None, dictionary: Dictionary, in_ms: Milliseconds = to_ms_or_none
) -> Row:
    """One row for an endpoint, in the order of `STATE_COLUMNS`."""
    endpoint = record.endpoint
    number = dictionary.number
    application = record.application
    attempt = _encode_attempt(endpoint.attempt, application, dictionary, in_ms)
    return (
        record.key,
        dictionary.app_version_ids[record.app_version],
        number(application, endpoint.running),
        in_ms(endpoint.running_since),
        in_ms(endpoint.last_seen_at),
        TOKEN_CODES[endpoint.token_state],
        int(endpoint.observe),
        int(bool(endpoint.setbacks)),
        None if endpoint.pinned is None else number(application, endpoint.pinned),
        endpoint.sequence,
        *attempt[:_TRIAL],
        due_ms,
        record.push_revision,
        record.last_history,
        int(bool(endpoint.consents)),
        *attempt[_TRIAL:],
        _asked(endpoint, number(application, endpoint.asked)),
    )


def _asked(endpoint: Endpoint, number: int) -> int:
    """What it is asked for; 0 when it never was asked, negative when it was and is not now."""
    return number or (WAS_ASKED if endpoint.consulted else 0)


def stage_code(stage: int | None) -> int:
    """How a stage is stored: 0 for none."""
    return 0 if stage is None else stage + 1


def stage_of(code: int) -> int | None:
    """The inverse."""
    return code - 1 if code else None


def _encode_attempt(attempt: Attempt | None, application: int, dictionary: Dictionary, in_ms: Milliseconds) -> Row:
    if attempt is None:
        return (0, 0, 0, 0, 0, None, None, None, None, 0, 0, None, None, None, 0, None, 0)
    return (
        dictionary.number(application, attempt.version),
        dictionary.number(application, attempt.origin),
        ATTEMPT_CODES[attempt.state],
        attempt.number,
        stage_code(attempt.stage),
        in_ms(attempt.offered_at),
        in_ms(attempt.reached_at),
        in_ms(attempt.settled_at),
        attempt.percent,
        PROGRESS_CODES[attempt.progress],
        attempt.returns,
        in_ms(attempt.returned_at),
        attempt.reason,
        in_ms(attempt.soaking_at),
        attempt.soak_reports,
        None if attempt.healthy is None else int(attempt.healthy),
        int(attempt.lapsed),
    )
