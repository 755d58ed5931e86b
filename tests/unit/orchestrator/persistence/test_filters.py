"""Cases that are worth a name; a property holds SQL and Python together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.records import EndpointQuery
from orchestrator.domain.endpoints import Endpoint
from orchestrator.domain.filters import Filter
from tests.contract.storages import MINUTE, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


@pytest.mark.parametrize(
    ("expression", "attributes", "matches"),
    [
        ("attributes.site == 'lab'", '{"site":"lab"}', True),
        ("attributes.site == 'lab'", '{"site":"Lab"}', False),
        ("attributes.site == 'lab'", '{"site":["lab"]}', False),
        ("attributes.site == 'lab'", "{}", False),
        ("attributes.site == 'lab'", '{"site":null}', False),
        ("attributes.site == ''", '{"site":null}', False),
        ("attributes.ring == 1", '{"ring":1.0}', True),
        ("attributes.ring == 1.0", '{"ring":1}', True),
        ("attributes.ring == 1", '{"ring":true}', False),
        ("attributes.ring == 1", '{"ring":"1"}', False),
        ("attributes.ring == '1'", '{"ring":1}', False),
        ("attributes.beta == true", '{"beta":true}', True),
        ("attributes.beta == true", '{"beta":1}', False),
        ("attributes.beta == false", "{}", False),
        ("attributes.n == 9223372036854775807", '{"n":9223372036854775807}', True),
        ("attributes.n == 9007199254740993", '{"n":9007199254740992.0}', False),
        ("""attributes.name == 'o\\'clock "x"'""", '{"name":"o\'clock \\"x\\""}', True),
        ("attributes.a == 1 && attributes.b == 2", '{"a":1,"b":2}', True),
        ("attributes.a == 1 && attributes.b == 2", '{"a":1}', False),
        ("attributes.ring <= 1 || attributes.site in ['lab', 'hall']", '{"site":"hall"}', True),
        ("!(attributes.ring == 1)", '{"ring":2}', True),
        ("!(attributes.ring == 1)", '{"ring":"2"}', False),
        ("attributes.ring != 1", "{}", False),
        ("!has(attributes.ring)", "{}", True),
        ("'beta' in attributes.tags", '{"tags":["alpha","beta"]}', True),
        ("attributes.place.hall == 'A'", '{"place":{"hall":"A"}}', True),
        ("endpointId.startsWith('to') && appVersion == 'kettle-v1'", "{}", True),
        ("semver(runningVersion) >= semver('1.2.0') && runningVersion.endsWith('+b')", "{}", True),
        ("semver(runningVersion) < semver('1.2.0')", "{}", False),
        ("runningVersion in ['1.2.0+b', '2.0.0']", "{}", True),
        ("runningVersion == attributes.expected", '{"expected":"1.2.0+b"}', True),
        ("appVersion == attributes.app", '{"app":"kettle-v1"}', True),
        ("semver(runningVersion) < semver(attributes.minimum)", '{"minimum":"1.10.0"}', True),
        ("registeredAt == timestamp('2026-03-01T12:00:00Z')", "{}", True),
        ("lastSeenAt < registeredAt", "{}", True),
        ("lastSeenAt > timestamp('2026-03-01T12:00:00Z')", "{}", False),
        ("timestamp(attributes.at) > lastSeenAt", '{"at":"2026-03-01T12:00:00Z"}', True),
        ("true", "{}", True),
        ("false || 1 > 2", "{}", False),
    ],
)
async def test_the_database_selects_what_an_expression_means(
    shelf: SqlShelf, entry: Entry, expression: str, attributes: str, *, matches: bool
) -> None:
    state = Endpoint(registered_at=NOW, running=v("1.2.0+b"), last_seen_at=NOW - MINUTE)
    draft = newcomer(entry, "tok", state)
    draft.new_attributes = attributes
    await store(shelf, entry, draft)
    query = EndpointQuery(filter=Filter(filter_id="any", expression=expression))
    assert len(await shelf.storage.documents(entry, query)) == matches


async def test_an_endpoint_that_reported_nothing_has_no_version_and_was_never_seen(
    shelf: SqlShelf, entry: Entry
) -> None:
    await store(shelf, entry, newcomer(entry, "tok"))
    for expression in (
        "runningVersion == '1.2.0'",
        "runningVersion != '1.2.0'",
        "!(semver(runningVersion) > semver('1.0.0'))",
        "runningVersion == attributes.a",
        "lastSeenAt > timestamp('2026-01-01T00:00:00Z')",
        "!(lastSeenAt > timestamp('2026-01-01T00:00:00Z'))",
    ):
        query = EndpointQuery(filter=Filter(filter_id="any", expression=expression))
        assert await shelf.storage.documents(entry, query) == [], expression
    absorbed = Filter(filter_id="any", expression="runningVersion == '1.2.0' || endpointId == 'tok'")
    assert len(await shelf.storage.documents(entry, EndpointQuery(filter=absorbed))) == 1


async def test_a_version_of_another_application_is_not_asked(shelf: SqlShelf, entry: Entry) -> None:
    names = shelf.storage._dictionary.names(entry.application.key)
    assert set(names.app_versions.values()) == set(entry.application.app_versions)
