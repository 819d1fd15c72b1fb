"""deploy/ says what is true of this version: commands, flags, paths, ports; and keeps what it promises of isolation."""

import copy
import itertools
import json
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from bus.engines.broker import gate_library
from tests.deploy.commands import TyperException, verify_command

TOP = Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OBJECTS = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
WORKLOADS = [one for one in OBJECTS if one["kind"] == "StatefulSet"]
KUBERNETES = ("1.30", "1.37")
OPTIONS = DEPLOY / "systemd" / "options"
PORTS = {"7443", "7400", "9464"}
WORST_EXPOSURE = 20  # tenths of systemd's own measure: 2.0 is its "OK"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the container file with its words, continuations joined, comments left out."""
    with CONTAINERFILE.open("rb") as file:
        return [
            (one["instruction"], one["value"])
            for one in DockerfileParser(fileobj=file).structure
            if one["instruction"] != "COMMENT"
        ]


def of(name: str) -> list[str]:
    return [rest for one, rest in instructions() if one == name]


def test_a_flag_or_command_that_is_none_would_be_found() -> None:
    for wrong in (["up", "--no-such"], ["serve"], ["broker", "start"], ["broker", "run"]):
        with pytest.raises(TyperException):
            verify_command(wrong)


def test_what_the_image_is_made_of_is_there() -> None:
    sources = [shlex.split(rest)[:-1] for rest in of("COPY") if not rest.startswith("--from")]
    for source in itertools.chain(*sources):
        assert (TOP / source).exists(), source
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    packaged = {path.split("/")[0] for path in tracked if path.endswith(".py") and "/" in path}
    ignored = (TOP / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(itertools.chain(*sources))
    assert packaged - set(itertools.chain(*sources)) == {"tests", "benchmarks", "tools"} & packaged


def test_image_starts_what_the_command_line_has() -> None:
    (entry,), (command,), (health,) = of("ENTRYPOINT"), of("CMD"), of("HEALTHCHECK")
    assert json.loads(entry)[-1] == "govbus"
    verify_command(json.loads(command))
    program, *arguments = json.loads(health.partition("CMD ")[2])
    assert program == "govbus"
    verify_command(arguments)


def test_image_runs_as_nobody_special_from_named_versions_and_holds_no_secret() -> None:
    assert of("USER") == ["10001:10001"]
    (base,) = of("ARG")  # an institution's own, where it must be
    assert re.fullmatch(r"BASE=\S+:(\d+\.\d+\.\d+)-slim-bookworm", base)
    assert of("FROM") == ["${BASE} AS build", "${BASE}"]
    last = [name for name, _ in instructions()][::-1].index("USER")
    assert all(name not in ("RUN", "COPY", "ADD") for name, _ in instructions()[-last:])
    assert "gcc" not in CONTAINERFILE.read_text("utf-8").rpartition("\nFROM ")[2]


def unit_options() -> list[str]:
    """What systemd makes of $GOVBUS_OPTIONS: its words."""
    (value,) = re.findall(r'^GOVBUS_OPTIONS="(.*)"$', OPTIONS.read_text("utf-8"), re.MULTILINE)
    return str(value).split()


def serving(words: list[str]) -> set[str]:
    """The ports that `govbus up` with these words opens."""
    return set(re.findall(r"--(?:listen|enrol-listen|metrics)[= ]\S+:(\d+)", " ".join(words)))


def test_unit_and_container_serve_every_port_that_the_readme_tells_of() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8").replace("\\\n", " ")
    assert set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == PORTS
    assert serving(unit_options()) == PORTS
    (run,) = re.findall(r"\$ podman run (.*)", text)
    assert serving(shlex.split(run)) == PORTS
    assert set(re.findall(r" -p \S*?(\d+)(?= )", run)) == PORTS


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_operators_outside_of_the_unit_find_its_sockets(unit: Path) -> None:
    """Its /tmp is its own: a socket there is nobody else's."""
    text = unit.read_text("utf-8")
    (place,) = re.findall(r"^Environment=.*\bTMPDIR=/run/(\S+)", text, re.MULTILINE)
    assert {"PrivateTmp=yes", f"RuntimeDirectory={place}", "RuntimeDirectoryMode=0700"} <= set(text.splitlines())


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_unit_starts_what_the_command_line_has_and_keeps_to_its_state(unit: Path) -> None:
    text = unit.read_text("utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *arguments = line.split()
    assert program == "/opt/govbus/.venv/bin/govbus"
    if "$GOVBUS_OPTIONS" in arguments:
        assert arguments.pop() == "$GOVBUS_OPTIONS"
        arguments += unit_options()
        # A start without its names would found another instance, for ever: no "-" before the file.
        assert "EnvironmentFile=/etc/govbus/options" in text.splitlines()
        assert "AssertPathExists=/etc/govbus/options" in text.splitlines()
    verify_command(arguments)
    (state,) = re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)
    assert f"/var/lib/{state}/" in text
    settings = set(text.splitlines())
    wanted = {
        "User=govbus",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "KillMode=mixed",
        "UMask=0077",
        "Restart=always",
    }
    assert wanted <= settings


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_reads_the_unit_and_finds_it_fenced(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    instance = tmp_path / unit.name.replace("@", "@two")
    # /bin/true stands for a program that this machine need not have; which one is tested above.
    instance.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text("utf-8"), flags=re.MULTILINE))
    read = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(instance)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (read.returncode, [line for line in read.stderr.splitlines() if unit.stem.strip("@") in line]) == (0, [])
    measured = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={WORST_EXPOSURE}", str(instance)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stdout[-2000:] + measured.stderr


def containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field_of_the_manifests(version: str) -> None:
    for one in OBJECTS:
        assert kubernetes_validate.validate(one, version, strict=True) == version
    wrong = copy.deepcopy(WORKLOADS[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: str(one["metadata"]["name"]))
def test_pod_starts_and_asks_what_the_command_line_has(workload: dict[str, Any]) -> None:
    for container in containers(workload):
        for asked in commands_in(container):
            verify_command(asked)
    served = [one for one in containers(workload) if "ports" in one]
    assert [one for one in served if {"startupProbe", "readinessProbe"} <= one.keys()] == served != []
    # A failed liveness probe runs preStop: what drains Envoy before its end must not be asked so.
    drains = [one for one in served if "drain" in str(one.get("lifecycle"))]
    assert [one for one in served if "livenessProbe" not in one] == drains
    opened = {one["containerPort"] for container in served for one in container["ports"]}
    words = " ".join(word for container in containers(workload) for word in container.get("args", []))
    told = re.findall(r"--(?:enrol-)?listen=\S+:(\d+)|--metrics=\S+:(\d+)", words)
    assert {int(one or other) for one, other in told} <= opened


def commands_in(container: dict[str, Any]) -> list[list[str]]:
    """Every `govbus` command of a container, without its name: started, asked by probes, run at its end."""
    found = []
    if "command" not in container:
        found.append(container["args"])
    elif "exec govbus " in (text := container["command"][-1]):  # a shell, for a step that is taken once
        found.append(shlex.split(text.partition("exec govbus ")[2]))
    hooks = [container.get(name, {}) for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    hooks += container.get("lifecycle", {}).values()
    asked = [one["exec"]["command"] for one in hooks if "exec" in one]
    return found + [command[1:] for command in asked if command[0] == "govbus"]


def test_every_kind_of_command_in_a_pod_is_looked_at() -> None:
    (broker,) = [one for one in WORKLOADS if one["metadata"]["name"] == "broker-2"]
    found = [command[:2] for container in containers(broker) for command in commands_in(container)]
    assert found == [["enrol", "/var/lib/govbus/home"], ["broker", "keep"], ["broker", "drain"]]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: str(one["metadata"]["name"]))
def test_envoy_is_given_its_journal_and_what_was_made_for_it_and_no_signing_key(workload: dict[str, Any]) -> None:
    *_, keeper, envoy = containers(workload)
    assert re.fullmatch(r"docker\.io/envoyproxy/envoy:v1\.4\d\.\d+", envoy["image"])
    assert (keeper["restartPolicy"], "env" in envoy) == ("Always", False)
    home = next(word for word in keeper["lifecycle"]["preStop"]["exec"]["command"] if word.startswith("/var/lib/"))
    given = {
        (one["name"], one["mountPath"], one["subPath"], one.get("readOnly", False)) for one in envoy["volumeMounts"]
    }
    assert given == {
        ("state", f"{home}/journal", f"{home.removeprefix('/var/lib/govbus/')}/journal", False),
        ("share", "/run/govbus/envoy", "envoy", True),
        ("share", "/run/govbus/admin", "admin", False),
    }
    wider = {(one["name"], one["mountPath"]) for one in keeper["volumeMounts"]}
    assert {("state", "/var/lib/govbus"), ("share", "/run/govbus")} <= wider
    (share,) = (one for one in workload["spec"]["template"]["spec"]["volumes"] if one["name"] == "share")
    assert share["emptyDir"]["medium"] == "Memory"


def test_gate_needs_nothing_that_envoys_own_image_lacks() -> None:
    """It is made from Ubuntu 22.04: glibc 2.35, and OpenSSL 3.0 with its certificates."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump (binutils) is not here")
    read = subprocess.run(["objdump", "-p", str(gate_library())], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"NEEDED\s+(\S+)", read)) <= {"libc.so.6", "libcrypto.so.3"}
    wanted = {tuple(map(int, one.split("."))) for one in re.findall(r"GLIBC_(\d[\d.]+)", read)}
    if tuple(map(int, platform.libc_ver()[1].split("."))) <= (2, 36):  # as in the image where it is built
        assert max(wanted) <= (2, 35)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: str(one["metadata"]["name"]))
def test_pod_meets_the_restricted_standard_and_writes_to_its_volumes_only(workload: dict[str, Any]) -> None:
    """kubernetes.io, Pod Security Standards, "Restricted"."""
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all({"emptyDir", "secret"} & one.keys() for one in pod["volumes"])
    for container in containers(workload):
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"memory"} <= container["resources"]["limits"].keys()
        assert all("value" not in one for one in container.get("env", []))


def test_every_workload_has_its_service_budget_and_network_policy() -> None:
    found = {(one["kind"], one["metadata"]["name"]) for one in OBJECTS}
    for workload in WORKLOADS:
        name, labels = workload["metadata"]["name"], workload["spec"]["template"]["metadata"]["labels"]
        assert {("Service", name), ("PodDisruptionBudget", name), ("NetworkPolicy", name)} <= found
        assert workload["spec"]["selector"]["matchLabels"] == labels
        for one in OBJECTS:
            if one["metadata"]["name"] == name and one["kind"] in ("PodDisruptionBudget", "NetworkPolicy"):
                chosen = one["spec"].get("selector") or one["spec"]["podSelector"]
                assert chosen["matchLabels"] == labels
            if (one["kind"], one["metadata"]["name"]) == ("Service", name):
                assert one["spec"]["selector"] == labels
    everybody = [one for one in OBJECTS if one["kind"] == "NetworkPolicy" and one["spec"]["podSelector"] == {}]
    assert [one["spec"]["policyTypes"] for one in everybody] == [["Ingress", "Egress"]]
    assert not [one for one in OBJECTS if one["kind"] == "Secret"]
    labels = next(one for one in OBJECTS if one["kind"] == "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_commands_of_the_readme_are_commands() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8").replace("\\\n", " ")
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    starts = r" -- govbus |/bin/govbus |\$govbus |podman run .* govbus:0\.1\.0 |podman exec govbus govbus "
    told = [re.split(starts, line, maxsplit=1)[1:] for line in lines]
    commands = [shlex.split(re.split(r"[|<>]", one[0])[0]) for one in told if one]
    assert len(commands) >= 10
    for command in commands:
        verify_command(command)
    for path in re.findall(r"deploy/[a-z]+/[\w.-]+\b", text):
        assert (TOP / path).exists(), path
