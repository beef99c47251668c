"""The dashboard and the alert rules in ``ops`` can be loaded, and ask only for what is exported."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from oban_powertools import IncidentClass, Powertools
from oban_powertools.integrations.prometheus import PowertoolsCollector
from tests.support.telemetry_plays import everything

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "ops" / "prometheus" / "alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "ops" / "grafana" / "powertools.json").read_text())
GIVEN_BY_PROMETHEUS = {"job", "instance"}
BY = re.compile(r"\bby \(([^)]*)\)")
SELECTOR = re.compile(r"\{([^}]*)\}")


def test_every_alert_is_whole() -> None:
    for rule in RULES:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_every_alert_is_in_the_how_to() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor-with-prometheus.md").read_text()

    assert {rule["alert"] for rule in RULES} == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Debian's prometheus, is not installed")
def test_promtool_accepts_the_rules_and_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [{"record": f"panel_{n}", "expr": expression} for n, expression in enumerate(_dashboard_expressions())]
    panels = tmp_path / "panels.yml"
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))

    for path in (ALERTS, panels):
        done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr


async def test_alerts_and_dashboard_ask_for_what_a_real_scrape_has(powertools: Powertools) -> None:
    collector = PowertoolsCollector(powertools)
    await everything(powertools)
    await collector.refresh()
    registry = CollectorRegistry()
    registry.register(collector)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    collector.close()
    labels = {label for sample in samples for label in sample.labels} | GIVEN_BY_PROMETHEUS

    for expression in (*(rule["expr"] for rule in RULES), *_dashboard_expressions()):
        assert _metrics(expression) <= {sample.name for sample in samples}, expression
        assert _metrics(expression), expression
        assert _labels(expression) <= labels, expression


def test_every_metric_of_the_reference_has_a_panel() -> None:
    page = (ROOT / "docs" / "reference" / "telemetry.md").read_text()
    exported = set(re.findall(r"^\| `(powertools_\w+)` \| (?:gauge|counter|histogram)", page, re.MULTILINE))

    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name) for asked in _dashboard_expressions() for name in _metrics(asked)
    }

    assert {"powertools_executors", "powertools_open_incidents"} <= exported
    assert exported - shown == set()


def test_an_executor_that_is_gone_alarms_by_its_incident_which_ends() -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == "PowertoolsExecutorMissing"]
    classes = re.findall(r'class=~"([\w|]+)"', rule["expr"])[0].split("|")

    # An executor that died is counted as missing for a week, until retention removes it.
    assert _metrics(rule["expr"]) == {"powertools_open_incidents"}
    assert set(classes) < {*IncidentClass}


def test_every_panel_has_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_defines_the_variables_it_uses() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval"}

    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) <= defined


def _dashboard_expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*")


def _metrics(expression: str) -> set[str]:
    return set(re.findall(r"\bpowertools_\w+", expression))


def _labels(expression: str) -> set[str]:
    grouped = {label.strip() for by in BY.findall(expression) for label in by.split(",")}
    return grouped | {label for inside in SELECTOR.findall(expression) for label in re.findall(r"(\w+)\s*=", inside)}
