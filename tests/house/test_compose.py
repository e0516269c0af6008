"""compose.yaml: every role is there, on a real database and store, and every setting is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from blackstart.cdn.settings import CdnSettings
from blackstart.recovery.settings import RecoverySettings
from blackstart.recovery.snapshots import Every
from blackstart.settings import PREFIX, Settings, load

KINDS = (Settings, CdnSettings, RecoverySettings)
KNOWN = {PREFIX + field.upper() for kind in KINDS for field in kind.model_fields}

TELLS_NODES = {"control", "worker"}


@pytest.fixture
def services(root: Path) -> dict[str, dict[str, Any]]:
    parsed = yaml.safe_load((root / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = parsed["services"]
    return found


def roles(services: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Service -> the role that it serves."""
    return {
        name: service["command"][1]
        for name, service in services.items()
        if service["command"][0] == "serve"
    }


def test_every_role_is_there_and_there_are_two_nodes(services: dict[str, dict[str, Any]]) -> None:
    found = sorted(roles(services).values())
    assert found == ["control", "node", "node", "origin", "snapshots", "worker"]


def test_every_setting_is_one_that_a_server_reads(services: dict[str, dict[str, Any]]) -> None:
    for name in roles(services):
        ours = {key for key in services[name]["environment"] if not key.startswith("AWS_")}
        assert ours - KNOWN == set(), name


def test_every_role_starts_with_the_settings_it_is_given(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, role in roles(services).items():
        with monkeypatch.context() as patch:
            for known in KNOWN:
                patch.delenv(known, raising=False)
            for key, value in services[name]["environment"].items():
                patch.setenv(key, filled_in(value))
            settings = load(Settings)
            assert settings.listen == "0.0.0.0:8000"
            assert list(settings.switches())
            if role == "node":
                assert load(CdnSettings).node_name == name
            else:
                assert settings.needed_mongodb_uri()
                assert settings.needed_object_store()
            if role == "snapshots":
                assert load(RecoverySettings).every() == Every.parse("15m")
            if role in TELLS_NODES:
                assert settings.node_urls
                assert settings.needed_purge_token() == token_of_the_nodes(services)


def filled_in(value: str) -> str:
    """As compose does where the variable is not set: `${NAME:-default}` is its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def token_of_the_nodes(services: dict[str, dict[str, Any]]) -> str:
    (token,) = {
        services[name]["environment"]["BLACKSTART_PURGE_TOKEN"]
        for name, role in roles(services).items()
        if role == "node"
    }
    return filled_in(token)


def test_whoever_uses_the_object_store_has_the_key_that_it_makes(
    services: dict[str, dict[str, Any]],
) -> None:
    made = services["objects"]["environment"]
    for name in roles(services):
        environment = services[name]["environment"]
        if "BLACKSTART_OBJECT_STORE" in environment:
            assert environment["AWS_ACCESS_KEY_ID"] == made["GARAGE_DEFAULT_ACCESS_KEY"]
            assert environment["AWS_SECRET_ACCESS_KEY"] == made["GARAGE_DEFAULT_SECRET_KEY"]
            bucket = environment["BLACKSTART_OBJECT_STORE"].removeprefix("s3://")
            assert bucket == made["GARAGE_DEFAULT_BUCKET"]


def test_a_purge_reaches_every_node(services: dict[str, dict[str, Any]]) -> None:
    nodes = {f"http://{name}:8000" for name, role in roles(services).items() if role == "node"}
    for name, role in roles(services).items():
        if role in TELLS_NODES:
            told = services[name]["environment"]["BLACKSTART_NODE_URLS"]
            assert set(told.split(",")) == nodes


def test_whoever_sets_pointers_keeps_the_log_on_a_volume(
    services: dict[str, dict[str, Any]],
) -> None:
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    for name, role in roles(services).items():
        if role in ("control", "worker"):
            folder = services[name]["environment"]["BLACKSTART_POINTER_LOG"]
            assert f"pointer-log:{folder}" in services[name]["volumes"]
            assert folder in dockerfile, "else the volume is root's"


def test_every_dependency_is_a_service(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()


def test_mongodb_is_a_replica_set_and_images_are_pinned(
    services: dict[str, dict[str, Any]],
) -> None:
    assert "--replSet" in services["mongodb"]["command"]
    for name in ("mongodb", "objects"):
        version = services[name]["image"].rpartition(":")[2]
        assert version[:1].isdigit() or version[:1] == "v"


def test_ports_are_open_to_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
