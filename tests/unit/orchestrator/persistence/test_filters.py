"""Cases that are worth a name; a property holds SQL and Python together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.records import EndpointQuery
from orchestrator.domain.filters import Filter
from tests.contract.storages import newcomer, store

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
    ],
)
async def test_the_database_selects_what_an_expression_means(
    shelf: SqlShelf, entry: Entry, expression: str, attributes: str, *, matches: bool
) -> None:
    draft = newcomer(entry, "tok")
    draft.new_attributes = attributes
    await store(shelf, entry, draft)
    query = EndpointQuery(filter=Filter(filter_id="any", expression=expression))
    assert len(await shelf.storage.documents(entry, query)) == matches
