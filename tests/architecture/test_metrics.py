"""The page of metrics names each one that `/metrics` shows, and no other; alerts are about metrics that there are."""

from __future__ import annotations

import ast
import re
from dataclasses import asdict
from functools import cache
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from broker_bridge.counters import Counters
from orchestrator.api.exposition import exposition
from orchestrator.application.retentions import Remains
from orchestrator.application.tallies import Tallies
from orchestrator.replicas import HELD, LOST, TAKEN
from tests.architecture.pages import REFERENCE, named, rows, section
from tests.architecture.sources import ROOT

PAGE = "metrics.md"
RULES = ROOT / "deploy" / "prometheus-rules.yaml"
MONITOR = ROOT / "docs" / "how-to" / "monitor.md"
METRIC = re.compile(r"\botao_[a-z_]+\b")
KNOWN = frozenset({"alert", "expr", "for", "labels", "annotations"})


def gauges() -> set[str]:
    """The names of an assembly's present values, as the code has them."""
    tree = ast.parse((ROOT / "orchestrator" / "assemblies.py").read_text())
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "_gauges"]
    (shown,) = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    return {str(key.value) for key in shown.keys if isinstance(key, ast.Constant)}


@cache
def exposed() -> dict[str, tuple[str, str]]:
    """Type and label, if it has one, of each metric by its name."""
    tallies = Tallies()
    for counted in (getattr(tallies, name) for name in Tallies.__slots__):
        if not isinstance(counted, int):
            counted["any"] += 1
    present = dict.fromkeys(gauges() | {HELD, TAKEN, LOST}, 1.0)
    text = exposition(tallies, lambda: dict.fromkeys(asdict(Counters()), 1), lambda: present)().decode()
    return {
        sample.name: (family.type, "".join(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def page() -> dict[str, tuple[str, str]]:
    listed = rows((REFERENCE / PAGE).read_text())
    found = [(named(cells[0])[0], cells) for cells in listed if cells[0].startswith("`otao_")]
    assert len(found) == len({name for name, _ in found}), "a metric stands on the page twice"
    return {name: (cells[1], cells[2].strip("`")) for name, cells in found}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_the_page_has_every_metric_with_its_type_and_label_and_no_other() -> None:
    assert len(exposed()) > 30
    assert page() == exposed()


def test_the_page_has_every_event_of_the_connection() -> None:
    listed = rows(section(PAGE, "## Events of the connection"))
    assert {name for cells in listed for name in named(cells[0])} == asdict(Counters()).keys()


def test_the_page_has_every_kind_of_row_that_is_removed() -> None:
    (cells,) = [cells for cells in rows((REFERENCE / PAGE).read_text()) if cells[0] == "`otao_removed_rows_total`"]
    assert set(named(cells[3])) == {kind.value for kind in Remains}


def test_every_metric_that_is_named_anywhere_is_one_that_there_is() -> None:
    # Decisions speak of functions of the database, too; what is searched for may lack its end.
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions"]
    known = exposed().keys() | {name.removesuffix("_total") for name in exposed()} | {"otao_messages"}
    unknown = {path.name: set(METRIC.findall(path.read_text())) - known for path in [RULES, *pages]}
    assert {name: names for name, names in unknown.items() if names} == {}
    assert len(METRIC.findall(RULES.read_text())) > 5


def test_an_alert_has_what_prometheus_asks_for() -> None:
    assert len(alerts()) == len({alert["alert"] for alert in alerts()})
    for alert in alerts():
        assert alert.keys() <= KNOWN
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"].keys() == {"summary", "description"}
        assert re.fullmatch(r"\d+m", alert.get("for", "0m"))
        for brackets in ("()", "[]", "{}"):
            assert alert["expr"].count(brackets[0]) == alert["expr"].count(brackets[1])
        # Whatever it asks, it asks of Otao's own job.
        assert alert["expr"].count('{job="otao"') == len(re.findall(r"\b(?:otao_[a-z_]+|up)\b(?=\{)", alert["expr"]))


def test_what_only_grows_is_asked_for_its_growth_and_what_does_not_for_itself() -> None:
    for alert in alerts():
        for name in METRIC.findall(alert["expr"]):
            grows = re.search(rf"\b(?:increase|rate)\({name}\b", alert["expr"]) is not None
            assert grows == (exposed()[name][0] == "counter"), (alert["alert"], name)


def test_the_page_of_the_alerts_has_each_of_them_and_no_other() -> None:
    listed = [named(cells[0])[0] for cells in rows(MONITOR.read_text())]
    assert [name for name in listed if name.startswith("Otao")] == [alert["alert"] for alert in alerts()]
