"""The local stack: its compose file, what it mounts, and its dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentinfra.observability.semconv import METRICS, MetricSpec

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/agentinfra.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

VERSION_TAG = re.compile(r"v?\d+\.\d+\.\d+([.-][a-z0-9.]+)*")
OWN_LABELS = {"job", "instance"}  # Prometheus puts them on every series.
KEYWORDS = {"and", "or", "unless", "bool", "offset"}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"panel {panel['id']}")


def series_of(spec: MetricSpec) -> dict[str, set[str]]:
    """The series a metric has on the page, with their labels."""
    labels = set(spec.labels) | OWN_LABELS
    if spec.kind != "histogram":
        return {spec.name: labels}
    counts = {f"{spec.name}_sum": labels, f"{spec.name}_count": labels}
    return counts | {f"{spec.name}_bucket": labels | {"le"}}


ALERTS = ROOT / "deploy/alerts"
SERIES = {name: labels for spec in METRICS for name, labels in series_of(spec).items()}
SERIES["up"] = OWN_LABELS


def expressions(panel: dict[str, Any]) -> list[str]:
    """What a panel asks Prometheus."""
    return [target["expr"] for target in panel["targets"]]


def series_in(expression: str) -> set[str]:
    """The series an expression reads: every name that is no function, keyword or label."""
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    return set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare)) - KEYWORDS


def labels_in(expression: str) -> set[str]:
    """The labels an expression selects or groups by."""
    grouped = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(selected)


def compose_command() -> list[str] | None:
    """Docker Compose as it is installed here, None when it is not."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
        version = re.match(r"v?(\d+)\.", asked.stdout)
        if asked.returncode == 0 and version and int(version[1]) >= 2:
            return command
    return None


@each_service
def test_ports_are_published_on_the_loopback_address_only(name):
    """Every published port is bound to 127.0.0.1."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_images_are_pinned(name):
    """Every image is named with a full version, never with a tag that moves."""
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert VERSION_TAG.fullmatch(tag)


@each_service
def test_every_service_has_a_health_check(name):
    """Every service is probed by a command of its own."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert len(check["test"]) > 1
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@each_service
def test_every_service_is_confined(name):
    """Every service runs without privileges, on a read-only root, within limits."""
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["restart"] == "unless-stopped"
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])


@each_service
def test_what_is_mounted_exists(name):
    """Every volume is declared, and every file of ours is there and mounted read-only."""
    for mount in SERVICES[name].get("volumes", []):
        source, _, target = mount.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert target.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_dependencies_are_waited_for_until_healthy(name):
    """A service starts when those it needs are healthy, not when they merely run."""
    for dependency, wanted in SERVICES[name].get("depends_on", {}).items():
        assert dependency in SERVICES
        assert wanted == {"condition": "service_healthy"}


def test_every_variable_has_a_default():
    """The stack starts with an empty environment."""
    variables = re.findall(r"\$\{([^}]*)\}", (ROOT / "compose.yaml").read_text())
    assert variables
    assert all(re.fullmatch(r"[A-Z_]+:-.+", variable) for variable in variables)


def test_no_variable_looks_like_a_setting_of_ours():
    """No variable of the stack starts with AGENTINFRA_, where an agent would refuse it."""
    assert not re.search(r"\$\{AGENTINFRA_", (ROOT / "compose.yaml").read_text())


def test_docker_compose_accepts_the_file(tmp_path):
    """Docker Compose reads the file without an error or a warning."""
    command = compose_command()
    if command is None:
        pytest.skip("Docker Compose 2 or later is not installed")
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "SYSTEMROOT") if key in os.environ}
    options = ["--file", str(ROOT / "compose.yaml"), "--env-file", os.devnull]
    run = subprocess.run(
        [*command, *options, "config", "--format", "json"],
        capture_output=True,
        text=True,
        env=keep,
        cwd=tmp_path,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["services"].keys() == SERVICES.keys()


def test_prometheus_scrapes_the_agent_and_the_collector():
    """Prometheus scrapes the agent on the host, whose name it knows, and the collector."""
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets["agentinfra"] == ["host.docker.internal:9464"]
    assert targets["otel-collector"] == ["otel-collector:8888"]
    collector = yaml.safe_load((ROOT / "deploy/otel-collector.yaml").read_text())
    _, port = collector["exporters"]["prometheus"]["endpoint"].split(":")
    assert targets["otlp"] == [f"otel-collector:{port}"]
    assert SERVICES["prometheus"]["extra_hosts"] == ["host.docker.internal:host-gateway"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_its_configuration(tmp_path):
    """Prometheus itself finds nothing wrong with what it is given."""
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    config["rule_files"] = [str(ROOT / "deploy/alerts/agentinfra.yml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    run = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_collector_uses_what_it_defines():
    """Each part of the collector's pipelines is defined, and each definition is used."""
    config = yaml.safe_load((ROOT / "deploy/otel-collector.yaml").read_text())
    for kind in ("receivers", "processors", "exporters"):
        used = {part for pipe in config["service"]["pipelines"].values() for part in pipe[kind]}
        assert used == set(config[kind])
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    assert config["service"]["pipelines"].keys() == {"traces", "metrics"}


def test_grafana_knows_the_dashboards_data_source():
    """The dashboard's default data source is the Prometheus that is provisioned."""
    path = ROOT / "deploy/grafana/provisioning/datasources/agentinfra.yaml"
    provisioned = {
        source["uid"]: source for source in yaml.safe_load(path.read_text())["datasources"]
    }
    variables = {entry["name"]: entry for entry in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance", "model"}
    assert provisioned[variables["datasource"]["current"]["value"]]["type"] == "prometheus"
    for name in ("job", "instance", "model"):
        asked = re.fullmatch(
            r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variables[name]["definition"]
        )
        assert asked
        assert asked[2] in SERIES[asked[1]] | {"job", "instance"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", ["check", "test"])
def test_the_alerts_fire_when_they_should(command):
    """Prometheus's own tool takes the rules, and each fires in its case and in no other."""
    file = {"check": "agentinfra.yml", "test": "agentinfra.test.yml"}[command]
    done = subprocess.run(
        ["promtool", command, "rules", file], cwd=ALERTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_and_reads_metrics_that_exist():
    """No rule is without a case that fires it, and none asks for series that are not there."""
    rules = yaml.safe_load((ROOT / "deploy/alerts/agentinfra.yml").read_text())["groups"][0][
        "rules"
    ]
    tests = yaml.safe_load((ROOT / "deploy/alerts/agentinfra.test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert series_in(rule["expr"]) <= set(SERIES) | {"up"}


@each_panel
def test_a_panel_explains_itself(panel):
    """Every panel has a title, a description and a unit, and asks the chosen data source."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_panel
def test_a_panel_reads_metrics_that_exist(panel):
    """Every expression names series that are on the page, by labels that they have."""
    assert expressions(panel)
    for expression in expressions(panel):
        read = series_in(expression)
        assert read
        assert read <= set(SERIES)
        assert labels_in(expression) <= set().union(*(SERIES[name] for name in read))


def test_every_metric_is_on_the_dashboard():
    """No metric is collected that the dashboard does not show."""
    read = {
        name
        for panel in PANELS
        for expression in expressions(panel)
        for name in series_in(expression)
    }
    missing = [spec.name for spec in METRICS if read.isdisjoint(series_of(spec))]
    assert not missing


def test_panels_do_not_overlap():
    """Panels fill the grid's 24 columns, each at a place and under an id of its own."""
    cells = [
        (x, y)
        for box in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
