"""Dockerfile, compose file and units: linted, hardened, and every name in them is one that there is."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.persistence.databases import check_address
from orchestrator.settings import PREFIX, Settings, load
from tests.architecture.sources import PACKAGES, ROOT, committed, project

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
UNITS = ("otao.service", "otao-backup.service")

PORT = 8080
STATE = "/var/lib/otao"
USER = 10001

VARIABLE = re.compile(r"\bOTAO_[A-Z_]*[A-Z]\b")
SECRETS = ("mqtt_url", "database_url")
CLIENT = {"OTAO_SERVER", "OTAO_API_KEY", "OTAO_APPLICATION", "OTAO_CONFIG"}
"""Of the commands, not of the service."""


def names_of_settings() -> set[str]:
    """Every variable that a service reads."""
    plain = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return plain | {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    own = Path(sys.executable).parent / command[0]
    return subprocess.run([own, *command[1:]], capture_output=True, check=False, text=True, timeout=60)


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(COMPOSE.read_text())
    assert isinstance(loaded, dict)
    return loaded


def stages() -> list[str]:
    return re.split(r"^(?=FROM )", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit; several of one name in their order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


# --- linters ---


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    done = run("hadolint", DOCKERFILE)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.read_text().replace('CMD ["serve"]', "CMD serve"))
    assert "DL3025" in run("hadolint", wrong).stdout


def test_the_compose_file_is_as_its_specification_asks() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_specification_refuses_what_is_misspelt(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("read_only: true\n", "readonly: true\n"))
    assert run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", wrong).returncode == 1


# --- names ---


@pytest.mark.parametrize(
    "path",
    [path for path in committed() if path.is_relative_to(DEPLOY)],
    ids=lambda path: path.relative_to(DEPLOY).as_posix(),
)
def test_every_variable_is_one_that_is_read(path: Path) -> None:
    text = path.read_text().replace("OTAO_…", "")
    assert set(VARIABLE.findall(text)) - names_of_settings() - CLIENT == set()


def test_the_command_is_the_one_that_is_installed() -> None:
    last = stages()[-1]
    assert 'ENTRYPOINT ["otao"]\nCMD ["serve"]\n' in last
    assert (Path(sys.executable).parent / "otao").is_file()
    for name in UNITS:
        assert all("/opt/otao/bin/otao " in line for line in unit(name)["ExecStart"][:1])
    assert "PATH=/opt/otao/bin:$PATH" in last
    assert run("otao", "backup", "--help").returncode == 0


def test_port_state_and_user_are_the_same_everywhere() -> None:
    last = stages()[-1]
    otao = compose()["services"]["otao"]
    assert f"EXPOSE {PORT}\n" in last
    assert f"OTAO_HTTP_LISTEN=0.0.0.0:{PORT}\n" in last
    assert f"HTTPConnection('127.0.0.1', {PORT}" in last
    assert f"\nUSER {USER}:{USER}\n" in last
    assert f"\nWORKDIR {STATE}\n" in last
    assert f"--owner={USER} --group={USER} --mode=0700 {STATE}\n" in last
    assert otao["environment"]["OTAO_HTTP_LISTEN"] == f"0.0.0.0:{PORT}"
    assert otao["environment"]["OTAO_API_KEYS_FILE"].startswith(f"{STATE}/")
    assert [volume["target"] for volume in otao["volumes"]] == [STATE]
    assert unit("otao.service")["WorkingDirectory"] == [STATE]


def test_the_health_check_asks_whether_it_is_alive() -> None:
    assert re.search(r"^HEALTHCHECK .*\\\n    CMD \[.*'/livez'", stages()[-1], re.MULTILINE)


def test_versions_are_those_of_the_project() -> None:
    version = project()["version"]
    assert compose()["services"]["otao"]["image"] == f"otao:{version}"
    assert f"--tag otao:{version} ." in DOCKERFILE.read_text()


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("url", [f"sqlite+aiosqlite:///{STATE}/otao.db", "postgresql+asyncpg://otao:x@db.example/otao"])
def test_a_unit_takes_either_database_from_the_same_file(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in unit(name)["Environment"]:
        key, _, value = variable.partition("=")
        monkeypatch.setenv(key, value.replace("%d", str(tmp_path)))
    (tmp_path / "mqtt-url").write_text("mqtt://otao:x@127.0.0.1:1883\n")
    (tmp_path / "database-url").write_text(f"{url}\n")
    assert load({}).database_url.get_secret_value() == url
    check_address(url)
    shown = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    assert f"sqlite+aiosqlite:///{STATE}/otao.db" in shown


def test_the_nightly_copy_is_made_where_the_database_is_a_file(tmp_path: Path) -> None:
    (condition,) = unit("otao-backup.service")["ExecCondition"]
    address = tmp_path / "database-url"
    for url, code in ((f"sqlite+aiosqlite:///{STATE}/otao.db", 0), ("postgresql+asyncpg://otao:x@sqlite/otao", 1)):
        address.write_text(f"{url}\n")
        done = subprocess.run(condition.replace("%d", str(tmp_path)).split(), check=False, timeout=60)
        assert done.returncode == code


def test_the_address_of_composes_postgresql_is_one_that_can_be_opened() -> None:
    (address,) = re.findall(r"postgresql\+asyncpg://\S+", COMPOSE.read_text())
    check_address(address)
    postgres = compose()["services"]["postgres"]
    user, host, name = re.fullmatch(r".*//(\w+):…@(\w+)/(\w+)", address).groups()  # type: ignore[union-attr] # it is one
    assert host in compose()["services"]
    assert (postgres["environment"]["POSTGRES_USER"], postgres["environment"]["POSTGRES_DB"]) == (user, name)
    assert postgres["profiles"] == ["postgres"]


# --- the image ---


def test_every_package_comes_from_the_locks_with_its_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^\n\\]*)", DOCKERFILE.read_text())
    foreign = [line for line in installs if "--no-index" not in line]
    assert len(foreign) == 2
    assert all("--require-hashes --only-binary=:all:" in line for line in foreign)
    assert "--requirement requirements/run.lock" in foreign[0]


def test_the_image_has_no_installer_and_no_compiler() -> None:
    build, last = stages()
    assert "venv --without-pip" in build
    assert "pip uninstall --yes --root-user-action=ignore pip setuptools wheel" in last
    assert not re.search(r"apt-get|pip install|hatchling|gcc", last)


def test_what_builds_the_project_is_pinned_with_hashes() -> None:
    done = subprocess.run([ROOT / "script" / "build-requirements"], capture_output=True, check=True, text=True)
    pins = re.findall(r"^([a-z-]+)==", done.stdout, re.MULTILINE)
    assert "hatchling" in pins
    assert done.stdout.count("--hash=sha256:") >= len(pins)


def sent(path: str, patterns: list[str]) -> bool:
    """Whether a file gets to the builder: the last pattern decides that fits it or a folder that it is in."""
    folders = [path, *(str(parent) for parent in Path(path).parents)]
    ignored = False
    for pattern in patterns:
        name = pattern.removeprefix("!")
        candidates = Path(path).parts if name.startswith("**/") else folders
        if any(fnmatch(candidate, name.removeprefix("**/")) for candidate in candidates):
            ignored = not pattern.startswith("!")
    return not ignored


def test_the_builder_gets_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", stages()[0], re.MULTILINE)
        for source in line.split()
    }
    assert copied == {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert set(PACKAGES) <= copied
    names = [path.relative_to(ROOT).as_posix() for path in committed()]
    for name in names:
        wanted = any(name == source or name.startswith(f"{source}/") for source in copied)
        assert sent(name, patterns) == wanted, name
    assert not sent("deploy/secrets/mqtt-url", patterns)
    assert not sent("orchestrator/__pycache__/service.cpython-311.pyc", patterns)


# --- the containers ---


@pytest.mark.parametrize("name", compose()["services"])
def test_a_container_can_write_only_to_its_volume_and_has_no_privileges(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "mosquitto-store" else [])
    assert "privileged" not in service
    assert service.get("network_mode") == ("none" if name == "mosquitto-store" else None)


@pytest.mark.parametrize("name", compose()["services"])
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert [port for port in compose()["services"][name].get("ports", []) if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_files_that_are_not_committed() -> None:
    file = compose()
    for name, secret in file["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    otao = file["services"]["otao"]
    given = [value for name, value in otao["environment"].items() if name.startswith(("OTAO_MQTT_URL", "OTAO_DATAB"))]
    assert given == [f"/run/secrets/{name}" for name in otao["secrets"]]


def test_the_broker_has_the_repositorys_own_configuration() -> None:
    broker = compose()["services"]["mosquitto"]
    mounted = {
        volume["target"]: (DEPLOY / volume["source"]).resolve()
        for volume in broker["volumes"]
        if volume["type"] == "bind"
    }
    assert mounted == {
        "/etc/mosquitto/mosquitto.conf": DEPLOY / "compose" / "mosquitto.conf",
        "/etc/mosquitto/conf.d/otao.conf": ROOT / "mosquitto.conf",
        "/etc/mosquitto/otao.acl": DEPLOY / "mosquitto.acl",
    }
    assert all(path.is_file() for path in mounted.values())
    shipped = (ROOT / "mosquitto.conf").read_text().splitlines()
    assert "acl_file /etc/mosquitto/otao.acl" in shipped
    assert f"password_file {broker['secrets'][0]['target']}" in shipped
    (store,) = [volume["target"] for volume in broker["volumes"] if volume["type"] == "volume"]
    assert f"persistence_location {store}/" in shipped
    own = (DEPLOY / "compose" / "mosquitto.conf").read_text().splitlines()
    assert "include_dir /etc/mosquitto/conf.d" in own
    (port,) = broker["ports"]
    assert f"listener {port.rpartition(':')[2]}" in own


# --- gateways ---


def test_a_gateways_stanza_has_what_the_shipped_patterns_give_each_of_its_things() -> None:
    page = (ROOT / "docs" / "how-to" / "gateways.md").read_text()
    given = re.findall(r"^topic (\w+ kp1/\S+)$", page, re.MULTILINE)
    shipped = re.findall(r"^pattern (\w+ kp1/\S+)$", (DEPLOY / "mosquitto.acl").read_text(), re.MULTILINE)
    # Configuration is not served.
    assert given == [rule.replace("%u", "thing-12-a") for rule in shipped if "/cmx/" not in rule]


# --- the units ---


def test_wrong_settings_and_missing_credentials_are_not_tried_again() -> None:
    service = unit("otao.service")
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["2 243"]
    # `otao serve` never tells systemd that it is ready.
    assert service["Type"] == ["exec"]


def test_a_credential_is_read_from_where_it_is_loaded() -> None:
    service = unit("otao.service")
    loaded = [line.partition(":")[0] for line in service["LoadCredential"]]
    files = [line for line in service["Environment"] if line.split("=")[0].endswith("_URL_FILE")]
    assert files == [f"OTAO_{name.upper().replace('-', '_')}_FILE=%d/{name}" for name in loaded]
    assert loaded == ["mqtt-url", "database-url"]
    assert set(unit("otao-backup.service")["LoadCredential"]) <= set(service["LoadCredential"])


def test_the_addresses_are_installed_where_the_units_look_for_them() -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (line,) = re.findall(r"^# install -m 600 (.*) /etc/otao/$", page, re.MULTILINE)
    wanted = [line.partition(":")[2] for line in unit("otao.service")["LoadCredential"]]
    assert [name.replace("secrets/", "/etc/otao/") for name in line.split()] == wanted


def test_what_a_container_mounts_is_made_its_users_first() -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (docker,) = re.findall(r"^## Docker\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    mounted = re.findall(r'--volume "\$PWD/(\S+?):', docker)
    assert mounted
    assert [f"$ sudo chown {USER} {name}" in docker for name in mounted] == [True] * len(mounted)


def test_the_copy_is_confined_as_the_service_and_has_no_network() -> None:
    service, copy = unit("otao.service"), unit("otao-backup.service")
    confining = re.compile(
        r"NoNew|Capab|Ambient|Protect|Private|Proc|Restrict(?!Prevent|Addr)|Remove|Lock|Mem|Key|System"
    )
    hardened = {key: value for key, value in service.items() if confining.match(key)}
    assert len(hardened) > 20
    assert hardened.items() <= {**copy, "MemoryMax": ["1G"]}.items()
    assert copy["PrivateNetwork"] == ["yes"]
    assert copy["User"] == service["User"] == ["otao"]
