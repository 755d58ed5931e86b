"""The OpenAPI document says what is answered, and what is answered is what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api import schemas
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from tests.system.rests import Json, Rest

OPENAPI = "/api/v1/openapi.json"
RESOURCES = {
    "/api/v1/applications": "get",
    "/api/v1/applications/{app}": "delete get put",
    "/api/v1/applications/{app}/software": "get",
    "/api/v1/applications/{app}/software/{version}": "delete get patch put",
    "/api/v1/applications/{app}/software/{version}/recall": "post",
    "/api/v1/applications/{app}/software/{version}/rollout": "get",
    "/api/v1/applications/{app}/software/{version}/rollout/abort": "post",
    "/api/v1/applications/{app}/software/{version}/rollout/approve": "post",
    "/api/v1/applications/{app}/software/{version}/rollout/pause": "post",
    "/api/v1/applications/{app}/software/{version}/rollout/resume": "post",
    "/api/v1/applications/{app}/filters": "get",
    "/api/v1/applications/{app}/filters/{filter_id}": "delete get put",
    "/api/v1/applications/{app}/filters/{filter_id}/endpoints": "get",
    "/api/v1/applications/{app}/endpoints": "get post",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}": "delete get patch put",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/consent": "post",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/explain": "get",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/history": "get",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/retry": "post",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/token": "post",
    "/api/v1/applications/{app}/attention": "get",
    "/api/v1/applications/{app}/events": "get",
    "/api/v1/asyncapi.json": "get",
    "/api/v1/applications/{app}/graph": "get",
    "/api/v1/applications/{app}/catalogue": "put",
    "/api/v1/applications/{app}/plan": "post",
    "/api/v1/applications/{app}/summary": "get",
    "/api/v1/applications/{app}/audit": "get",
    "/api/v1/applications/{app}/freeze": "delete get post",
    "/api/v1/audit": "get",
    "/api/v1/freeze": "delete get post",
    "/api/v1/doctor": "get",
    "/livez": "get",
    "/readyz": "get",
    "/metrics": "get",
}


def references(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


async def test_the_document_has_every_call(rest: Rest) -> None:
    document = await rest.get(OPENAPI)
    assert document["openapi"] == "3.1.0"
    assert {path: " ".join(sorted(calls)) for path, calls in document["paths"].items()} == RESOURCES


async def test_every_reference_leads_somewhere(rest: Rest) -> None:
    document = await rest.get(OPENAPI)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


async def test_every_call_names_its_problems_and_every_write_its_body(rest: Rest) -> None:
    for path, calls in (await rest.get(OPENAPI))["paths"].items():
        for method, call in calls.items():
            assert call["responses"]["default"]["content"].keys() == {"application/problem+json"}, path
            assert ("requestBody" in call) == (method in {"put", "patch", "post"}), path
            assert "422" not in call["responses"], path


async def test_members_are_in_camel_case(rest: Rest) -> None:
    for name, schema in (await rest.get(OPENAPI))["components"]["schemas"].items():
        assert [member for member in schema.get("properties", {}) if "_" in member] == [], name


async def test_what_is_answered_has_the_shape_that_is_documented(rest: Rest) -> None:
    await add_application(rest)
    await rest.put(f"{KETTLE}/filters/canary", {"expression": "attributes.ring == 1"})
    await add_software(rest, "1.1.0", "1.0.0", filters=[{"filterId": "canary"}], rollout={"attempts": {"max": 1}})
    await add_software(rest, "2.0.0", "1.1.0")
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    await add_endpoint(rest, "b", "1.0.0")
    await rest.report("b", "1.1.0", 500, "no room left")
    shapes: dict[str, type[BaseModel]] = {
        KETTLE: schemas.Application,
        f"{KETTLE}/software/1.1.0": schemas.Software,
        f"{KETTLE}/software/1.1.0/rollout": schemas.Rollout,
        f"{KETTLE}/filters/canary": schemas.Filter,
        f"{KETTLE}/endpoints/a": schemas.Endpoint,
        f"{KETTLE}/endpoints/a/explain": schemas.Explanation,
        f"{KETTLE}/graph": schemas.Graph,
        f"{KETTLE}/summary": schemas.Summary,
    }
    for path, shape in shapes.items():
        shape.model_validate_json((await rest.send("GET", path)).content)
    paused = await rest.send("POST", f"{KETTLE}/software/1.1.0/rollout/pause")
    schemas.MovedRollout.model_validate_json(paused.content)
    recalled = await rest.send("POST", f"{KETTLE}/software/2.0.0/recall")
    schemas.Recalled.model_validate_json(recalled.content)
    for item in (await rest.get(f"{KETTLE}/endpoints/b/history"))["items"]:
        schemas.History.model_validate(item)
    schemas.Problem.model_validate_json((await rest.send("GET", "/nowhere")).content)
