"""Shapes of files: each wrong member and type has its line; the shapes are the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.application.documents.declarations import CatalogueBody, DeclaredSoftwareBody
from orchestrator.cli import shapes, yaml_texts
from orchestrator.cli.shapes import CATALOGUE, SOFTWARE, Anything, Items, Members, Named, Number, Text, TextOr, Whole

if TYPE_CHECKING:
    from orchestrator.cli.shapes import Shape


def found(text: str, shape: Shape = CATALOGUE) -> list[tuple[int, int, str]]:
    return [
        (fault.place.line, fault.place.column, fault.reason)
        for fault in shapes.faults(yaml_texts.read(text.encode()), shape, "")
    ]


DESIGN = """\
application: smart-kettle
appVersions: [smart-kettle-v1]
registration: open
limits: {perMinute: 600}
filters:
  canary: attributes.ring <= 1
  lab: {expression: attributes.site == 'lab', description: d}
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: targeted
    filters: [{filterId: canary, rolloutDate: 2026-12-01T08:00:00Z}]
    rollout: {start: 2026-12-01T08:00:00Z, attempts: {max: 2, backoff: PT1M}, deadline: {installing: PT2H}}
    specification: {link: "https://…", any: [1, {b: c}]}
    metadata: {notes: [1]}
  - version: 1.2.0
    rolloutStrategy: general
    rollout:
      stages: [{percent: 0.5, soak: PT1H, maxFailureRate: 0.02, minAttempted: 50}, {percent: 100, approval: manual}]
      limits: {perMinute: 6000, exponential: {base: 50, factor: 1.5, notified: 1000}}
      window: {cron: 0 1 * * 1-5, duration: PT4H, timeZone: Europe/Berlin}
      consent: none
      onFailure: pause
  - version: 1.3.0
    rolloutStrategy: general
    rollout: {stages: standard}
    """


def test_a_catalogue_as_designed_has_no_fault() -> None:
    assert found(DESIGN) == []


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("[]", 1, 1, "the file must be an object, and is a list"),
        ("text", 1, 1, "the file must be an object, and is a text"),
        ("5", 1, 1, "the file must be an object, and 5 is a number"),
        ("applicaton: x", 1, 1, "applicaton is unknown; did you mean application?"),
        ("appVersions: x", 1, 14, "appVersions must be a list, and is a text"),
        ("appVersions: [x, 1]", 1, 18, "appVersions[1] must be a text, and 1 is a number: quote it, '1'"),
        ("description: true", 1, 14, "description must be a text, and true is a boolean: quote it, 'true'"),
        ("filters: [a]", 1, 10, "filters must be an object, and is a list"),
        ("filters: {a: [b]}", 1, 14, "filters.a must be a text or an object, and is a list"),
        ("filters: {a: {}}", 1, 14, "filters.a.expression is required"),
        (
            "filters: {a: {expression: x, descripton: y}}",
            1,
            30,
            "descripton is unknown in filters.a; did you mean description?",
        ),
        ("software: {}", 1, 11, "software must be a list, and is an object"),
        ("software:\n  - {rolloutStrategy: general}", 2, 5, "software[0].version is required"),
        (
            "software:\n  - version: 1.0\n    rolloutStrategy: general",
            2,
            14,
            "software[0].version must be a text, and 1.0 is a number: quote it, '1.0'",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStratgy: general",
            3,
            5,
            "rolloutStratgy is unknown in software[0]; did you mean rolloutStrategy?",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    upgradableFrom: [1.0]",
            4,
            22,
            "software[0].upgradableFrom[0] must be a text, and 1.0 is a number: quote it, '1.0'",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    rollout: {attempts: {max: two}}",
            4,
            31,
            "software[0].rollout.attempts.max must be a whole number, and is a text",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    rollout: {attempts: {max: true}}",
            4,
            31,
            "software[0].rollout.attempts.max must be a whole number, and true is a boolean",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    rollout: {stages: 5}",
            4,
            23,
            "software[0].rollout.stages must be a text or a list, and 5 is a number: quote it, '5'",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    rollout: {stages: [{percent: 1 %}]}",
            4,
            34,
            "software[0].rollout.stages[0].percent must be a number, and is a text",
        ),
        (
            "software:\n  - version: 1.0.0\n    rolloutStrategy: general\n    rollout: {stages: [{percents: 1}]}",
            4,
            25,
            "percents is unknown in software[0].rollout.stages[0]; did you mean percent?",
        ),
    ],
)
def test_a_fault_has_its_place_and_a_way_on(text: str, line: int, column: int, reason: str) -> None:
    assert found(text) == [(line, column, reason)]


def test_a_name_that_is_like_none_gets_all_that_there_are() -> None:
    assert found("filters: {a: {expression: x, zzz: y}}")[0][2] == (
        "zzz is unknown in filters.a; there are expression, description"
    )


def test_all_faults_are_found() -> None:
    assert len(found("a: 1\nb: 2\nsoftware: [{}, 3]")) == 5


def test_one_software_has_a_shape_of_its_own() -> None:
    assert found("version: 2.0.0\nrolloutStrategy: general\nupgradableFrom: [^1.0]", SOFTWARE) == []
    assert found("version: 2.0.0", SOFTWARE)[0][2] == "rolloutStrategy is required"


def outline(schema: dict[str, Any], root: dict[str, Any]) -> object:
    """A JSON schema as names and kinds."""
    if "$ref" in schema:
        return outline(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        parts = [outline(option, root) for option in options]
        return parts[0] if len(parts) == 1 else ("either", *parts)
    if "properties" in schema:
        assert schema["additionalProperties"] is False
        return {name: outline(inner, root) for name, inner in schema["properties"].items()}
    match schema.get("type"):
        case "array":
            return [outline(schema["items"], root)]
        case "object":
            inner = schema.get("additionalProperties")
            return ("named", outline(inner, root) if isinstance(inner, dict) else "anything")
        case "string" | "integer" | "number" as kind:
            return kind
        case _:
            return "string" if "enum" in schema else "anything"


SCALARS = {Text(): "string", Whole(): "integer", Number(): "number", Anything(): "anything"}


def drawn(shape: Shape) -> object:
    """A shape in the same form."""
    match shape:
        case Text() | Whole() | Number() | Anything():
            return SCALARS[shape]
        case Members(known=known):
            return {name: drawn(inner) for name, inner in known.items()}
        case Named(each=each):
            return ("named", drawn(each))
        case Items(each=each):
            return [drawn(each)]
        case TextOr(itself=itself):
            return ("either", "string", drawn(itself))


def test_the_shapes_are_those_of_the_server() -> None:
    schema = CatalogueBody.model_json_schema(by_alias=True)
    assert {"application": "string", **(outline(schema, schema) or {})} == drawn(CATALOGUE)  # type: ignore[dict-item]
    software = DeclaredSoftwareBody.model_json_schema(by_alias=True)
    assert outline(software, software) == drawn(SOFTWARE)
    assert set(software["required"]) == set(SOFTWARE.required)
