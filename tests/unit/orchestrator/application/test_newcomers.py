from __future__ import annotations

from dataclasses import replace

from orchestrator.application.newcomers import newcomer
from orchestrator.domain.cohorts import cohort
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.filters import Filter
from tests.contract.storages import APP, NOW, entry_of
from tests.unit.orchestrator.domain.builders import targeted, use, v

LAB = Filter(filter_id="lab", expression="attributes.site == 'lab'")
OTHER = Filter(filter_id="other", expression="true")
KETTLE = entry_of(replace(APP, key=7), [targeted("1.1.0", "1.0.0", filters=[use("lab")])], [LAB, OTHER])


def test_a_newcomer_has_said_nothing_and_is_nobody_s_yet() -> None:
    record = newcomer(KETTLE, "kettle-7", "tok", "kettle-v1", NOW)
    assert (record.key, record.application, record.push_revision, record.due_at) == (0, 7, 0, None)
    assert (record.endpoint_id, record.token, record.app_version) == ("kettle-7", "tok", "kettle-v1")
    endpoint = record.endpoint
    assert (endpoint.running, endpoint.attempt, endpoint.registered_at, endpoint.last_seen_at) == (
        None,
        None,
        NOW,
        None,
    )
    assert (endpoint.token_state, endpoint.observe, endpoint.pinned) == (TokenState.ACTIVE, True, None)


def test_its_cohort_follows_from_names_alone_and_not_from_its_token() -> None:
    first, again = (newcomer(KETTLE, "kettle-7", token, "kettle-v1", NOW).endpoint for token in ("a", "b"))
    assert first.cohort == again.cohort == cohort("kettle", "kettle-7")
    assert newcomer(KETTLE, "kettle-8", "a", "kettle-v1", NOW).endpoint.cohort != first.cohort


def test_it_is_in_the_filters_in_use_that_its_attributes_match() -> None:
    inside = newcomer(KETTLE, "k", "k", "kettle-v1", NOW, attributes='{"site":"lab","timeZone":"Europe/Berlin"}')
    assert inside.endpoint.filters == {"lab"}
    assert newcomer(KETTLE, "k", "k", "kettle-v1", NOW).endpoint.filters == frozenset()
    # What it was matched with is kept, to be matched anew when it speaks.
    assert inside.subject is not None
    assert (inside.subject.attributes, inside.subject.endpoint_id) == ('{"site":"lab","timeZone":"Europe/Berlin"}', "k")


def test_it_may_be_pinned_from_the_beginning() -> None:
    assert newcomer(KETTLE, "k", "k", "kettle-v1", NOW, pinned=v("1.1.0")).endpoint.pinned == v("1.1.0")
