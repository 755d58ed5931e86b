from __future__ import annotations

import pytest

from orchestrator.application import memberships
from orchestrator.application.memberships import Memberships
from orchestrator.domain.filters import Filter
from tests.unit.orchestrator.application.subjects import subject
from tests.unit.orchestrator.domain.builders import DAY, NOW, v


def of(*expressions: str) -> Memberships:
    return Memberships(Filter(filter_id=f"f{n}", expression=text) for n, text in enumerate(expressions))


def test_an_endpoint_is_in_the_filters_that_match_it() -> None:
    found = of("attributes.site == 'lab'", "attributes.ring <= 1", "true").of(subject('{"site":"lab","ring":2}'))
    assert found == {"f0", "f2"}
    assert of().of(subject("not read")) == frozenset()


@pytest.mark.parametrize(
    ("expression", "follows"),
    [
        ("attributes.ring == 1", False),
        ("endpointId == 'k' || registeredAt < timestamp('2026-01-01T00:00:00Z')", False),
        ("semver(runningVersion) < semver('2.0.0')", True),
        ("!(appVersion == 'kettle-v1')", True),
        ("lastSeenAt > timestamp('2026-01-01T00:00:00Z')", True),
    ],
)
def test_filters_follow_reports_when_they_look_at_what_reports_change(expression: str, *, follows: bool) -> None:
    assert of("true", expression).follows_reports is follows


def test_what_is_remembered_is_what_filters_look_at_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "_REMEMBERED", 3)
    found = of("attributes.site == 'lab'")
    for number in range(10):
        given = subject(f'{{"n":{number % 5},"site":"lab"}}', endpoint_id=f"k-{number}", running=f"1.{number}.0")
        assert found.of(given) == {"f0"}
    assert len(found._known) == 3


def test_nothing_is_remembered_of_filters_that_tell_all_endpoints_apart() -> None:
    found = of("endpointId == 'k-1' || lastSeenAt > timestamp('2026-03-01T00:00:00Z')")
    assert found.of(subject(endpoint_id="k-1")) == {"f0"}
    assert found.of(subject(endpoint_id="k-2")) == frozenset()
    assert found.of(subject(endpoint_id="k-2", last_seen_at=NOW)) == {"f0"}
    assert not found._known


def test_versions_that_differ_in_build_metadata_only_are_told_apart() -> None:
    found = of("runningVersion == '1.0.0+b'", "semver(runningVersion) == semver('1.0.0')")
    assert found.of(subject(running="1.0.0")) == {"f1"}
    assert found.of(subject(running="1.0.0+b")) == {"f0", "f1"}
    assert found.of(subject()) == frozenset()


def test_each_variable_that_is_looked_at_is_told_apart() -> None:
    found = of("appVersion == 'kettle-v2' && attributes.a == 1")
    assert found.of(subject('{"a":1}', app_version="kettle-v2")) == {"f0"}
    assert found.of(subject('{"a":1}')) == frozenset()
    assert found.of(subject('{"a":2}', app_version="kettle-v2")) == frozenset()


def test_a_subject_has_its_values() -> None:
    values = subject('{"a":[1]}', running="1.0.0", last_seen_at=NOW).values()
    assert (values.attributes, values.running, values.last_seen_at) == ({"a": [1]}, v("1.0.0"), NOW)
    assert (values.endpoint_id, values.app_version, values.registered_at) == ("kettle-7", "kettle-v1", NOW - DAY)


@pytest.mark.parametrize(
    ("attributes", "zone"),
    [
        ('{"timeZone":"Asia/Tokyo"}', "Asia/Tokyo"),
        ('{"timeZone":""}', None),
        ('{"timeZone":7}', None),
        ("{}", None),
    ],
)
def test_a_time_zone_is_a_text_that_is_not_empty(attributes: str, zone: str | None) -> None:
    assert memberships.zone_of(attributes) == zone
