"""Files of tools/deploy, each by what reads it, or by what its makers check it with."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from endpoint_faults import certificates

from telemetry.cli.commands import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parent.parent / "tools" / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE = sorted(DEPLOY.glob("*compose.yaml"))
KUBERNETES = sorted(DEPLOY.glob("*kubernetes.yaml"))


def _check(*command: str | Path) -> None:
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_each_file_there_is_checked_by_one_of_these_tests() -> None:
    others = {DEPLOY / "nats-server.conf", DEPLOY / "supervisord.conf"}
    assert {*UNITS, *COMPOSE, *KUBERNETES, *others} == set(DEPLOY.iterdir())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    # What it starts is not on this machine.
    text = re.sub(r"/opt/\w+/bin/[\w-]+", "/bin/true", unit.read_text())
    copy = tmp_path / unit.name.replace("@.", "@0.")
    copy.write_text(text)
    _check("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy)
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", copy],
        capture_output=True,
        text=True,
        check=True,
    )
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert float(exposure) < 4.0, told.stdout  # of 10; what is not said otherwise has 9.6


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.name)
def test_compose_s_own_schema_takes_the_file(file: Path) -> None:
    _check(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_own_schemas_take_each_document(file: Path) -> None:
    _check(BIN / "kubernetes-validate", "--strict", file)


def test_what_a_pod_refers_to_is_there() -> None:
    for file in KUBERNETES:
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        by_label = {(document["metadata"]["name"], document["kind"]) for document in documents}
        for document in documents:
            template = document.get("spec", {}).get("template")
            if document["kind"] in {"Deployment", "StatefulSet"}:
                wanted = document["spec"]["selector"]["matchLabels"]
                assert wanted.items() <= template["metadata"]["labels"].items()
            if document["kind"] == "StatefulSet":
                assert (document["spec"]["serviceName"], "Service") in by_label
            if template is None:
                continue
            spec = template["spec"]
            claims = [claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", ())]
            volumes = {volume["name"] for volume in spec["volumes"]} | set(claims)
            for container in [*spec["containers"], *spec.get("initContainers", ())]:
                assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_supervisord_takes_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "supervisord.conf"
    copy.write_text((DEPLOY / "supervisord.conf").read_text().replace("user=acme", "user=root"))
    program = f"from supervisor.options import ServerOptions; o = ServerOptions(); o.realize(['-c', {str(copy)!r}])"
    _check(
        sys.executable, "-c", f"{program}; assert {{g.name for g in o.process_group_configs}} == {{'shipper', 'acme'}}"
    )


def test_a_server_of_nats_takes_its_file(tmp_path: Path) -> None:
    leaf, authority = tmp_path / "tls.crt", tmp_path / "ca.crt"
    authority.write_bytes(certificates.authority_pem())
    certificates._certificate("good").private_key_and_cert_chain_pem.write_to_path(str(leaf))
    shutil.copy(leaf, tmp_path / "tls.key")
    copy = tmp_path / "nats-server.conf"
    copy.write_text((DEPLOY / "nats-server.conf").read_text().replace("/etc/nats/", f"{tmp_path}/"))
    environ = {"NATS_NAME": "nats-0", "NATS_OWNER": "a-b", "NATS_COLLECTOR": "c-d", "NATS_LOADER": "e-f"}
    told = subprocess.run(
        [str(BIN / "nats-server"), "-t", "-c", str(copy)], capture_output=True, text=True, check=False, env=environ
    )
    assert told.returncode == 0, told.stderr


# ---- What they call ----


def _calls() -> Iterator[tuple[str, list[str]]]:
    for file in UNITS:
        joined = file.read_text().replace("\\\n", " ")
        for line in re.findall(r"^ExecStart=\S*/telemetry (.*)$", joined, re.MULTILINE):
            yield file.name, line.split()
    for file in (*COMPOSE, *KUBERNETES):
        for document in yaml.safe_load_all(file.read_text()):
            for command in _commands(document):
                if command[:1] == ["telemetry"]:
                    yield file.name, command[1:]


def _commands(document: Any) -> Iterator[list[str]]:
    if isinstance(document, dict):
        if isinstance(document.get("command"), list):
            yield document["command"]
        for value in document.values():
            yield from _commands(value)
    elif isinstance(document, list):
        for value in document:
            yield from _commands(value)


@pytest.mark.parametrize(("file", "arguments"), [*_calls()])
def test_each_command_has_the_options_it_is_called_with(
    file: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] == "ship":
        assert arguments[1:] == ["--config", "/etc/acme/ship.toml"], file
        return
    monkeypatch.setenv("TELEMETRY_STREAM", "nats://a/b")
    command: click.Command = commands
    context = click.Context(commands)
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None, file
        command, context = found, click.Context(found, context, name)
    command.make_context(command.name, list(arguments), context)
