from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.directory import Directory
from orchestrator.domain.filters import Filter
from protocol.configurations import Profile
from tests.contract.storages import APP, MINUTE, NOW, entry_of
from tests.unit.orchestrator.application.subjects import subject
from tests.unit.orchestrator.domain.builders import (
    endpoint,
    general,
    recalled,
    suspended,
    targeted,
    use,
    v,
)

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

KETTLE = replace(APP, key=1)
TOASTER = replace(APP, key=2, name="toaster", app_versions=("toaster-v1",))
LAB = Filter(filter_id="lab", expression="attributes.site == 'lab'")
FIELD = Filter(filter_id="field", expression="attributes.site == 'field'")


def test_applications_are_found_by_each_of_their_names() -> None:
    kettle, toaster = entry_of(KETTLE), entry_of(TOASTER)
    directory = Directory([toaster, kettle])
    assert directory.by_key(1) is directory.by_name("kettle") is directory.by_app_version("kettle-v2") is kettle
    assert directory.by_app_version("toaster-v1") is toaster
    assert directory.entries() == [kettle, toaster]
    assert (directory.by_key(3), directory.by_name("lamp"), directory.by_app_version("kettle")) == (None, None, None)


def test_an_application_is_replaced_with_the_names_that_it_had() -> None:
    directory = Directory([entry_of(KETTLE)])
    after = entry_of(replace(KETTLE, name="boiler", app_versions=("kettle-v2", "kettle-v3")))
    directory.put(after)
    assert directory.entries() == [after]
    assert directory.by_name("kettle") is directory.by_app_version("kettle-v1") is None
    assert directory.by_app_version("kettle-v2") is directory.by_app_version("kettle-v3") is after


def test_an_application_is_removed_and_one_that_is_not_there_is_not_missed() -> None:
    directory = Directory([entry_of(KETTLE), entry_of(TOASTER)])
    directory.remove(1)
    directory.remove(9)
    assert [entry.application.name for entry in directory.entries()] == ["toaster"]
    assert directory.by_app_version("kettle-v1") is None


def test_an_offer_is_the_specification_in_the_applications_profile() -> None:
    assert entry_of(KETTLE, [general("1.1.0")]).offer(v("1.1.0")) == (
        b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"1.1.0"}}'
    )
    plain = entry_of(replace(KETTLE, profile=Profile.RFC7), [general("1.1.0+b")])
    assert plain.offer(v("1.1.0")) == b'{"configId":"1.1.0+b","config":{"link":"1.1.0+b"}}'
    assert plain.offer(v("1.1.0")) is plain.offer(v("1.1.0"))


@pytest.mark.parametrize(
    ("software", "offerable", "started"),
    [
        (general("1.1.0"), True, True),
        (targeted("1.1.0"), True, True),
        (suspended("1.1.0"), False, True),
        (recalled("1.1.0"), False, False),
        (general("1.1.0", given=False), False, False),
        (general("1.2.0"), False, False),
    ],
)
def test_what_may_be_seen_of_an_offer(software: Software, *, offerable: bool, started: bool) -> None:
    entry = entry_of(KETTLE, [software])
    assert entry.offerable(v("1.1.0"), started=False) == offerable
    assert entry.offerable(v("1.1.0"), started=True) == started


def test_software_is_frozen_once() -> None:
    entry = entry_of(KETTLE, [general("1.0.0"), general("1.1.0")])
    assert entry.unfrozen([v("1.0.0"), v("1.1.0")]) == {v("1.0.0"), v("1.1.0")}
    entry.freeze([v("1.0.0"), v("9.9.9")], NOW)
    entry.freeze([v("1.0.0")], NOW + MINUTE)
    assert entry.unfrozen([v("1.0.0"), v("1.1.0")]) == {v("1.1.0")}
    assert entry.software[v("1.0.0")].offered_at == NOW


def test_definitions_are_found_by_version() -> None:
    entry = entry_of(KETTLE, [general("1.0.0")])
    found = entry.software_of(v("1.0.0+b"))
    assert found is not None
    assert found.version == v("1.0.0")
    assert entry.software_of(v("2.0.0")) is None
    assert entry.policy_of(v("2.0.0")) == entry.policy_of(v("1.0.0"))


def test_an_endpoint_is_decided_by_the_catalogue() -> None:
    entry = entry_of(KETTLE, [general("1.0.0"), general("1.1.0", "1.0.0")])
    assert entry.decide(endpoint("1.0.0"), NOW).hop == v("1.1.0")
    assert entry.decide(endpoint("1.1.0"), NOW).hop is None


def test_membership_is_of_filters_that_are_in_use_and_defined() -> None:
    software = [targeted("1.1.0", filters=[use("lab"), use("undefined")])]
    directory = Directory([entry_of(KETTLE, software, [LAB, FIELD])])
    assert directory.membership(1, subject('{"site":"lab"}')).filters == {"lab"}
    # A filter that no software lists is asked by nobody.
    assert directory.membership(1, subject('{"site":"field"}')).filters == frozenset()
    assert directory.membership(9, subject('{"site":"lab"}')).filters == frozenset()


def test_filters_are_used_by_applications_with_targeted_software() -> None:
    software = [targeted("1.1.0", filters=[use("lab")])]
    directory = Directory([entry_of(KETTLE, software, [LAB]), entry_of(TOASTER)])
    assert directory.membership_for([1, 2]) == directory.membership
    assert directory.membership_for([2, 9]) is None
