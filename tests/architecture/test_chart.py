"""The Helm chart, rendered by Helm's own engine: as Kubernetes' schemas ask, hardened, and with names that are real."""

from __future__ import annotations

import copy
import json
import re
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from fastapi import APIRouter
from fastapi.routing import APIRoute
from kubernetes_validate.utils import ValidationError, validate

from orchestrator import api, dashboard
from tests.architecture.charts import CHART, NAMESPACE, RELEASE, Manifest, Rendered, Values, render
from tests.architecture.sources import ROOT, project
from tests.architecture.test_deploy import PORT, STATE, USER, names_of_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api import ApiContext

SECRET: Values = {"secret": {"name": "otao"}}
KUBERNETES = ("1.29", "1.37")
"""The oldest that Chart.yaml names, and the newest whose schemas are at hand."""


def monitored() -> Values:
    """The values by which the page on monitoring lets Prometheus in."""
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    (text,) = re.findall(r"^```yaml\n(networkPolicy:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    values = yaml.safe_load(text)
    assert isinstance(values, dict)
    return values


GOOD: dict[str, Values] = {
    "plain": SECRET,
    "all": {
        "secret": {"name": "otao", "mqttCa": "ca.pem"},
        "image": {"repository": "registry.example/otao", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"OTAO_LOG_LEVEL": "debug", "OTAO_HTTP_HOSTS": "ota.example"},
        "persistence": {"storageClass": "fast", "accessMode": "ReadWriteOnce", "whenDeleted": "Delete"},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "ingress": {"enabled": True, "className": "nginx", "host": "otao.example", "tlsSecret": "tls"},
        "networkPolicy": {
            "broker": {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [8883]},
            "extraEgress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
        },
        "podAnnotations": {"c": "d"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "fullnameOverride": "orchestrator",
    },
    "open": {**SECRET, "networkPolicy": {"enabled": False}},
    "postgresql": {**SECRET, "database": "postgresql"},
    "replicas": {**SECRET, "database": "postgresql", "replicas": 3},
    "monitored": {**SECRET, **monitored()},
}
BAD: dict[str, tuple[Values, str]] = {
    "no secret": ({}, "/secret/name"),
    "misspelt": ({**SECRET, "replica": 3}, "replica"),
    "replicas on one file": ({**SECRET, "replicas": 2}, "/replicas"),
    "a setting of the chart's": ({**SECRET, "settings": {"OTAO_MQTT_URL": "mqtt://x"}}, "OTAO_MQTT_URL"),
    "no setting": ({**SECRET, "settings": {"otao_log_level": "debug"}}, "otao_log_level"),
    "ingress without a certificate": ({**SECRET, "ingress": {"enabled": True, "host": "a"}}, "/ingress/tlsSecret"),
    "many writers": ({**SECRET, "persistence": {"accessMode": "ReadWriteMany"}}, "/persistence/accessMode"),
    "another database": ({**SECRET, "database": "mysql"}, "/database"),
    "half a digest": ({**SECRET, "image": {"digest": "sha256:12"}}, "/image/digest"),
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Rendered]:
    return render({**GOOD, **{name: values for name, (values, _) in BAD.items()}})


@pytest.fixture(scope="module")
def plain(rendered: dict[str, Rendered]) -> dict[str, Manifest]:
    return rendered["plain"].manifests


@pytest.fixture(scope="module")
def pod(plain: dict[str, Manifest]) -> dict[str, Any]:
    return pod_of(plain)


def pod_of(manifests: dict[str, Manifest]) -> dict[str, Any]:
    (workload,) = [manifest for kind, manifest in manifests.items() if kind in {"StatefulSet", "Deployment"}]
    spec = workload["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("case", GOOD)
def test_helm_has_nothing_against_it(rendered: dict[str, Rendered], case: str) -> None:
    assert rendered[case].refusal == ""
    assert rendered[case].findings == []
    assert "<no value>" not in rendered[case].notes


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("case", GOOD)
def test_every_manifest_is_as_kubernetes_own_schemas_ask(
    rendered: dict[str, Rendered], case: str, version: str
) -> None:
    manifests = rendered[case].manifests
    assert {"Service", "ServiceAccount"} <= set(manifests)
    assert len({"StatefulSet", "Deployment"} & set(manifests)) == 1
    for manifest in manifests.values():
        assert validate(manifest, version, strict=True) == version


def test_the_schemas_refuse_what_is_misspelt(plain: dict[str, Manifest]) -> None:
    wrong = copy.deepcopy(plain["StatefulSet"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(ValidationError):
        validate(wrong, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("case", BAD)
def test_values_that_cannot_be_meant_are_refused_by_their_path(rendered: dict[str, Rendered], case: str) -> None:
    assert BAD[case][1] in rendered[case].refusal
    assert rendered[case].manifests == {}


def leaves(values: Values, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths at which values and schema differ: each names what the other has not."""
    known = schema.get("properties", {})
    if schema.get("additionalProperties") is not False:
        return
    for name in sorted((known.keys() ^ values.keys()) - {"global", "claims"}):
        yield f"{path}/{name}"
    for name in known.keys() & values.keys():
        if isinstance(values[name], dict):
            yield from leaves(values[name], known[name], f"{path}/{name}")


def test_the_schema_of_the_values_names_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(leaves(values, schema)) == []


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project()["version"]
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}.0-0"


def test_the_pod_keeps_the_restricted_profile(pod: dict[str, Any]) -> None:
    of_pod, of_container = pod["securityContext"], container(pod)["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["runAsUser"] == of_pod["runAsGroup"] == of_pod["fsGroup"] == USER
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container["allowPrivilegeEscalation"] is False
    assert of_container["readOnlyRootFilesystem"] is True
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    # The profile's list of what a volume may be.
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"secret"}, {"emptyDir"}]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_the_pod_has_no_token_of_kubernetes_and_no_variables_of_other_services(
    plain: dict[str, Manifest], pod: dict[str, Any]
) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert plain["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == plain["ServiceAccount"]["metadata"]["name"]
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("case", GOOD)
def test_each_variable_is_a_setting(rendered: dict[str, Rendered], case: str) -> None:
    variables = [variable["name"] for variable in container(pod_of(rendered[case].manifests))["env"]]
    assert len(variables) == len(set(variables))
    assert set(variables) <= names_of_settings()


def test_ports_paths_and_probes_agree_with_the_image(plain: dict[str, Manifest], pod: dict[str, Any]) -> None:
    own = container(pod)
    environment = {variable["name"]: variable["value"] for variable in own["env"]}
    assert environment["OTAO_HTTP_LISTEN"] == f"0.0.0.0:{PORT}"
    assert environment["OTAO_DATABASE_URL"] == f"sqlite+aiosqlite:///{STATE}/otao.db"
    assert own["ports"] == [{"name": "http", "containerPort": PORT}]
    assert plain["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert {own[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {"/livez"}
    assert own["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    mounts = {mount["name"]: mount["mountPath"] for mount in own["volumeMounts"]}
    assert mounts["data"] == STATE
    paths = {item["path"] for item in pod["volumes"][0]["secret"]["items"]}
    files = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert {path.rpartition("/") for path in files.values()} == {(mounts["secret"], "/", path) for path in paths}


def test_the_keys_are_not_writable_by_others_or_they_would_be_refused(pod: dict[str, Any]) -> None:
    # Read by the pod's group, which is what Kubernetes gives the files to.
    assert pod["volumes"][0]["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize(
    ("case", "hosts"),
    [
        ("plain", [f"{RELEASE}-otao{suffix}" for suffix in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")]),
        ("all", ["orchestrator", "otao.example", "ota.example"]),
    ],
)
def test_requests_may_come_by_the_names_of_service_and_ingress(
    rendered: dict[str, Rendered], case: str, hosts: list[str]
) -> None:
    manifests = rendered[case].manifests
    own = container(pod_of(manifests))
    (text,) = [variable["value"] for variable in own["env"] if variable["name"] == "OTAO_HTTP_HOSTS"]
    allowed = text.split(",")
    assert manifests["Service"]["metadata"]["name"] in allowed
    assert set(hosts) <= set(allowed)


def test_the_pod_of_a_restore_reaches_the_volume_as_otao_does_and_may_no_more(
    plain: dict[str, Manifest], pod: dict[str, Any]
) -> None:
    manifest = yaml.safe_load((CHART.parents[1] / "restore-pod.yaml").read_text())
    for version in KUBERNETES:
        assert validate(manifest, version, strict=True) == version
    spec, own, theirs = manifest["spec"], container(manifest["spec"]), container(pod)
    for name in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert spec[name] == pod[name]
    assert own["securityContext"] == theirs["securityContext"]
    assert own["env"] == [variable for variable in theirs["env"] if variable["name"] == "OTAO_DATABASE_URL"]
    assert own["volumeMounts"] == [mount for mount in theirs["volumeMounts"] if mount["name"] != "secret"]
    assert own["image"] == f"registry.example/otao:{project()['version']}"
    # Of a release called `otao`, whose full name is that of the chart alone.
    (template,) = plain["StatefulSet"]["spec"]["volumeClaimTemplates"]
    claim = f"{template['metadata']['name']}-otao-0"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim}} in spec["volumes"]


def test_one_service_has_the_file_of_sqlite(plain: dict[str, Manifest]) -> None:
    spec = plain["StatefulSet"]["spec"]
    assert spec["replicas"] == 1
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


def test_only_the_own_namespace_comes_in_and_only_names_and_broker_are_reached(plain: dict[str, Manifest]) -> None:
    policy = plain["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == plain["StatefulSet"]["spec"]["selector"]["matchLabels"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [{"podSelector": {}}]}]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 1883, 8883]


def test_the_values_of_the_page_on_monitoring_let_prometheus_in_and_the_own_namespace_still(
    rendered: dict[str, Rendered],
) -> None:
    (rule,) = rendered["monitored"].manifests["NetworkPolicy"]["spec"]["ingress"]
    assert rule["from"] == monitored()["networkPolicy"]["from"]
    assert {"podSelector": {}} in rule["from"]
    assert [set(peer) for peer in rule["from"]].count({"namespaceSelector", "podSelector"}) == 1


def served_paths() -> set[str]:
    """Every path of REST, and of the pages, which its document leaves out; nothing is served here."""
    rest = api.build(cast("ApiContext", SimpleNamespace(failed=int))).openapi()["paths"]
    names = [f"{dashboard.__name__}.{found.name}" for found in iter_modules(dashboard.__path__)]
    routers = [module.router for module in map(import_module, names) if hasattr(module, "router")]
    routes = [route for router in routers if isinstance(router, APIRouter) for route in router.routes]
    pages = [route.path for route in routes if isinstance(route, APIRoute)]
    return {"/api/v1/openapi.json", *rest, *pages}


def test_the_ingress_passes_on_every_path_that_is_served_but_the_metrics(rendered: dict[str, Rendered]) -> None:
    (rule,) = rendered["all"].manifests["Ingress"]["spec"]["rules"]
    passed = {(path["path"], path["pathType"]) for path in rule["http"]["paths"]}

    def passes(path: str) -> bool:
        """As Kubernetes' Ingress matches: element by element."""
        above = path.split("/")
        prefixes = {"/".join(above[: number + 1]) for number in range(1, len(above))}
        return (path, "Exact") in passed or any((prefix, "Prefix") in passed for prefix in prefixes)

    served = served_paths()
    assert len(served) > 40
    assert {path for path in served if not passes(path)} == {"/metrics"}
    assert [path for path, _ in passed if not any(route.startswith(path) for route in served)] == []


def test_with_postgresql_nothing_is_kept_here_and_a_new_one_stands_by_before_the_old_one_goes(
    rendered: dict[str, Rendered],
) -> None:
    manifests = rendered["postgresql"].manifests
    spec, pod = manifests["Deployment"]["spec"], pod_of(manifests)
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    environment = {variable["name"]: variable.get("value") for variable in container(pod)["env"]}
    assert "OTAO_DATABASE_URL" not in environment
    (mounted,) = [mount["mountPath"] for mount in container(pod)["volumeMounts"] if mount["name"] == "secret"]
    assert environment["OTAO_DATABASE_URL_FILE"] == f"{mounted}/database-url"
    assert {"key": "database-url", "path": "database-url"} in pod["volumes"][0]["secret"]["items"]
    ports = [port["port"] for rule in manifests["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]]
    assert 5432 in ports
    assert "deployment/fleet-otao" in rendered["postgresql"].notes


def test_replicas_reach_each_other_and_are_not_drained_together(rendered: dict[str, Rendered]) -> None:
    manifests = rendered["replicas"].manifests
    deployment = manifests["Deployment"]["spec"]
    own = deployment["selector"]["matchLabels"]
    assert deployment["replicas"] == 3
    (address,) = [item for item in container(pod_of(manifests))["env"] if item["name"] == "OTAO_HTTP_ADVERTISE"]
    assert address["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    policy = manifests["NetworkPolicy"]["spec"]
    peers = {"podSelector": {"matchLabels": own}}
    assert peers in policy["ingress"][0]["from"]
    assert {"ports": [{"port": "http", "protocol": "TCP"}], "to": [peers]} in policy["egress"]
    assert manifests["PodDisruptionBudget"]["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": own}}
    assert "PodDisruptionBudget" not in rendered["postgresql"].manifests
