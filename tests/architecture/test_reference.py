"""The reference names what there is: every error code, every setting, every knob of a rollout."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from orchestrator.application.documents.endpoints import build_explanation
from orchestrator.application.documents.rollouts import RolloutBody
from orchestrator.domain.explanations import explain
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.policies import STANDARD
from orchestrator.settings import Settings
from protocol import payloads
from tests.architecture.pages import REFERENCE, rows, section
from tests.architecture.pages import named as named_in
from tests.architecture.sources import PACKAGES, modules
from tests.unit.orchestrator.domain.builders import NOW, catalogue, endpoint, general

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMED = re.compile(r"`([a-z0-9_-]+)`")
KNOB = re.compile(r"^\| `(?P<path>[A-Za-z.\[\]]+)` \| (?P<default>[^|]*)\| (?P<bounds>[^|]*)\|", re.MULTILINE)
EXAMPLE = re.compile(r"^```json (?P<what>rollout|stages)\n(?P<text>.*?)\n```$", re.MULTILINE | re.DOTALL)
LIMITS = payloads.Limits(payload_bytes=65536, depth=16)
# JSON of a foreign shape.
Schema = dict[str, Any]


def named(*documents: str) -> set[str]:
    return {match[1] for name in documents for match in NAMED.finditer((REFERENCE / name).read_text())}


def codes(tree: ast.Module) -> Iterator[str]:
    """Yield the value of every class attribute `code`."""
    for node in ast.walk(tree):
        for statement in node.body if isinstance(node, ast.ClassDef) else ():
            match statement:
                case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                    yield code
                case _:
                    pass


def test_every_error_code_is_in_the_reference() -> None:
    found = {code for module in modules(*PACKAGES) for code in codes(module.tree)}
    assert len(found) > 40
    assert found - named("errors.md", "mqtt-api.md") == set()


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    text = (REFERENCE / "settings.md").read_text()
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", text, re.MULTILINE)
    assert {name for row in rows for name in NAMED.findall(row)} == set(Settings.model_fields)


def test_the_defaults_of_the_reference_are_those_of_the_settings() -> None:
    text = (REFERENCE / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, int | str) and not isinstance(default, bool):
            row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
            assert str(default) in row, name


@cache
def spreading() -> str:
    """The section about rollouts."""
    text = (REFERENCE / "rest-api.md").read_text()
    return text.partition("### How a software spreads\n")[2].partition("\n### ")[0]


def knobs(schema: Schema, root: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Yield every member below an object, by its path, with its schema, and whether it is required."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            yield from knobs(root["$defs"][part["$ref"].rpartition("/")[2]], root, path)
        if "items" in part:
            yield from knobs(part["items"], root, f"{path}[]")
        for name, inner in part.get("properties", {}).items():
            inside = f"{path}.{name}".lstrip(".")
            yield inside, inner, name in part.get("required", ())
            yield from knobs(inner, root, inside)


def known_knobs() -> dict[str, tuple[Schema, bool]]:
    schema = RolloutBody.model_json_schema()
    return {path: (inner, required) for path, inner, required in knobs(schema, schema)}


def test_every_knob_of_a_rollout_is_in_the_reference_and_no_other() -> None:
    # Objects that have no meaning but their members are not listed.
    known = known_knobs().keys() - {"limits", "deadline", "attempts"}
    assert {row["path"] for row in KNOB.finditer(spreading())} == known


def test_the_defaults_and_bounds_of_knobs_are_those_of_the_code() -> None:
    known = known_knobs()
    for row in KNOB.finditer(spreading()):
        schema, required = known[row["path"]]
        default = "required" if required else schema.get("default")
        if default is not None:
            assert row["default"].strip(" `") == str(default), row["path"]
        for part in (schema, *schema.get("anyOf", ())):
            for bound in ("minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems", "maxLength"):
                if bound in part:
                    assert re.search(rf"(?<!\d)(?<!\d,){part[bound]:,}(?!,?\d)", row["bounds"]), row


def test_the_examples_of_rollouts_are_read_and_the_preset_is_what_it_says() -> None:
    found = {match["what"]: match["text"] for match in EXAMPLE.finditer(spreading())}
    RolloutBody.read(payloads.members(found["rollout"], LIMITS), LIMITS)
    assert RolloutBody.read({"stages": found["stages"]}, LIMITS).policy.stages == STANDARD


def test_every_outcome_and_rule_of_an_explanation_is_in_the_reference_in_its_order_and_no_other() -> None:
    listed = list(rows(section("rest-api.md", "### Why")))
    explanation = explain(endpoint("1.0.0"), catalogue(general("1.0.0"), general("1.1.0", "1.0.0")), NOW)
    document: Any = build_explanation("kettle-7", explanation, ())
    for software in document["software"]:
        assert software.keys() == {"version", "eligible", "open", "reachable", "rules"}
        names = [rule["rule"] for rule in software["rules"]]
        assert [name for cells in listed if len(cells) == 3 for name in named_in(cells[0])] == names
    outcomes = [name for cells in listed if len(cells) == 2 for name in named_in(cells[0])]
    assert sorted(outcomes) == sorted(outcome.value for outcome in Outcome)
