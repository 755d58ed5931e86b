"""Documents as answers: tags, links, and nothing that anybody on the way keeps."""

from __future__ import annotations

import json

from orchestrator.api import responses
from orchestrator.application.documents.texts import Raw
from tests.unit.orchestrator.api.scopes import request_of


def test_a_document_goes_out_as_it_is_and_is_not_kept() -> None:
    response = responses.document({"specification": Raw('{"a":1.10}'), "b": "é"}, tag="1-2")
    assert bytes(response.body) == '{"specification":{"a":1.10},"b":"é"}'.encode()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == '"1-2"'
    assert response.headers["cache-control"] == "no-store"


def test_a_resource_that_the_client_has_is_not_sent_again() -> None:
    assert responses.resource(request_of(), {"a": 1}, "1").status_code == 200
    known = responses.resource(request_of(if_none_match='"1"'), {"a": 1}, "1")
    assert (known.status_code, bytes(known.body), known.headers["etag"]) == (304, b"", '"1"')


def test_what_was_written_says_whether_it_is_new_and_what_ends_by_it() -> None:
    created = responses.written({}, "1", created=True)
    assert (created.status_code, "otao-withdrawn" in created.headers) == (201, False)
    replaced = responses.written({}, "2", created=False, withdrawn=3)
    assert (replaced.status_code, replaced.headers["otao-withdrawn"]) == (200, "3")
    deleted = responses.deleted(withdrawn=2)
    assert (deleted.status_code, bytes(deleted.body), deleted.headers["otao-withdrawn"]) == (204, b"", "2")


def test_the_last_part_of_a_list_leads_nowhere() -> None:
    response = responses.listing(request_of(path="/things"), [{"a": 1}], None)
    assert json.loads(bytes(response.body)) == {"items": [{"a": 1}], "next": None}
    assert "link" not in response.headers


def test_a_part_of_a_list_leads_to_the_next_with_the_same_parameters() -> None:
    request = request_of(path="/things", query="state=offered&cursor=old&limit=1")
    response = responses.listing(request, [{"a": 1}], "bmV3")
    assert json.loads(bytes(response.body))["next"] == "bmV3"
    assert response.headers["link"] == '</things?state=offered&limit=1&cursor=bmV3>; rel="next"'
