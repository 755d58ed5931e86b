from __future__ import annotations

from collections import Counter
from dataclasses import replace

from orchestrator.application.counters import CounterKey
from orchestrator.application.records import Draft, EndpointRecord
from orchestrator.domain.attempts import AttemptState, move
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryEntry, HistoryKind, Setback
from orchestrator.persistence import writes
from orchestrator.persistence.dictionaries import Dictionary
from orchestrator.persistence.instants import near, to_ms
from orchestrator.persistence.numbers import Numbers
from orchestrator.persistence.rows import ATTEMPT_CODES, HISTORY_CODES, STATE_COLUMNS
from orchestrator.persistence.writes import Writes
from tests.contract.storages import MINUTE, NOW
from tests.unit.orchestrator.domain.builders import offer, v

FAILED = Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")
PUSH_REVISION = STATE_COLUMNS.index("push_revision")
LAST_HISTORY = STATE_COLUMNS.index("last_history_id")


def dictionary() -> Dictionary:
    found = Dictionary(app_versions={5: (3, "kettle-v1")}, app_version_ids={"kettle-v1": 5})
    found.add_version(1, 3, v("1.0.0"))
    found.add_version(2, 3, v("1.1.0"))
    return found


def draft(key: int = 0, before: Endpoint | None = None, after: Endpoint | None = None) -> Draft:
    endpoint = before or Endpoint(registered_at=NOW)
    record = EndpointRecord(
        key=key,
        application=3,
        endpoint_id="kettle-7",
        app_version="kettle-v1",
        token="tok",
        endpoint=endpoint,
        push_revision=4,
        last_history=6,
    )
    return Draft(before=record, after=after or endpoint, app_version="kettle-v1")


def written(item: Draft, key: int = 77) -> Writes:
    batch = Writes(in_ms=near(NOW))
    batch.add(item, key, None, dictionary(), Numbers(revision=40, history=50, attempt=60))
    return batch


def test_history_is_chained_from_the_newest_entry_before() -> None:
    item = draft(77)
    item.entries = [
        HistoryEntry(at=NOW, kind=HistoryKind.REPORTED, version=v("1.0.0"), status_code=200),
        HistoryEntry(at=NOW - MINUTE, kind=HistoryKind.RETRIED, reason="why"),
    ]
    assert written(item).history == [
        (51, 77, 6, to_ms(NOW), HISTORY_CODES[HistoryKind.REPORTED], 1, 200, None),
        (52, 77, 51, to_ms(NOW - MINUTE), HISTORY_CODES[HistoryKind.RETRIED], 0, None, "why"),
    ]
    (row,) = written(item).updated
    assert row[LAST_HISTORY] == 52


def test_a_push_takes_a_revision_and_topics_that_were_left_take_theirs_before() -> None:
    item = draft(77)
    item.push = True
    item.cleared_topics = ["left"]
    batch = written(item)
    assert batch.pushes == [(41, 0, "left"), (42, 77, None)]
    assert batch.updated[0][PUSH_REVISION] == 42


def test_without_a_push_the_revision_stays() -> None:
    batch = written(draft(77))
    assert batch.pushes == []
    assert (batch.updated[0][PUSH_REVISION], batch.updated[0][LAST_HISTORY]) == (4, 6)


def test_a_new_endpoint_is_created_and_an_old_one_updated() -> None:
    assert [len(rows) for rows in (written(draft()).created, written(draft()).updated)] == [1, 0]
    assert [len(rows) for rows in (written(draft(77)).created, written(draft(77)).updated)] == [0, 1]


def test_setbacks_are_written_only_when_they_have_changed() -> None:
    before = Endpoint(registered_at=NOW, setbacks={v("1.1.0"): FAILED})
    same = written(draft(77, before, replace(before, observe=False)))
    assert (same.setbacks_of, same.setbacks) == ([], [])
    gone = written(draft(77, before, replace(before, setbacks={})))
    assert (gone.setbacks_of, gone.setbacks) == ([77], [])
    exhausted = Setback(failures=3, exhausted=True)
    more = written(draft(77, before, replace(before, setbacks={v("1.1.0"): FAILED, v("1.0.0"): exhausted})))
    assert more.setbacks_of == [77]
    assert more.setbacks == [(77, 2, 1, to_ms(NOW + MINUTE), 0, "no room"), (77, 1, 3, None, 1, None)]


def test_a_superseded_attempt_is_a_row_of_its_own() -> None:
    item = draft(77)
    ill = replace(offer("1.1.0", "1.0.0", NOW - MINUTE), stage=1, healthy=False)
    item.superseded = [move(ill, AttemptState.WITHDRAWN, NOW, reason="why")]
    (row,) = written(item).attempts
    named = dict(zip(writes.ATTEMPT, row, strict=True))
    assert named == {
        "id": 61,
        "endpoint_id": 77,
        "version_id": 2,
        "origin_id": 1,
        "number": 1,
        "sequence": 1,
        "state": ATTEMPT_CODES[AttemptState.WITHDRAWN],
        "stage": 2,
        "offered_ms": to_ms(item.superseded[0].offered_at),
        "reached_ms": to_ms(NOW - MINUTE),
        "settled_ms": to_ms(NOW),
        "reason": "why",
        "healthy": 0,
    }


def test_every_version_that_a_row_names_is_told() -> None:
    after = Endpoint(
        registered_at=NOW,
        running=v("1.0.0"),
        pinned=v("2.0.0"),
        attempt=offer("3.0.0", "4.0.0"),
        sequence=1,
        setbacks={v("5.0.0"): FAILED},
        consents={v("7.0.0"): Consent(granted=True, at=NOW)},
        asked=v("8.0.0"),
    )
    item = draft(after=after)
    item.entries = [HistoryEntry(at=NOW, kind=HistoryKind.REPORTED, version=v("6.0.0"))]
    item.held = v("9.0.0")
    expected = [f"{major}.0.0" for major in range(1, 10)]
    assert sorted({version.text for _, version in writes.versions_in([item, draft()])}) == expected


def test_differences_of_counters_are_rows() -> None:
    deltas = Counter({CounterKey(3, "attempts", v("1.1.0"), v("1.0.0"), "offered"): -2, CounterKey(3, "running"): 1})
    assert writes.counter_rows(deltas, dictionary()) == [
        (3, "attempts", 2, 1, "offered", -2),
        (3, "running", 0, 0, "", 1),
    ]
