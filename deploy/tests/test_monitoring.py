"""Alerts and dashboard: rules fire as they should, and everything that they name is a metric of the gateway."""

import json
import re

import yaml

from conftest import DEPLOY, ROOT, load, run

RULES = DEPLOY / "alerts" / "miroir.rules.yml"
# What Prometheus adds to a histogram's name.
ENDINGS = ("_bucket", "_sum", "_count")


def metrics_of_the_gateway():
    """Every name of a metric in the gateway's sources."""
    sources = "".join(path.read_text() for path in sorted((ROOT / "gateway" / "src").rglob("*.rs")))
    return set(re.findall(r'"(miroir_[a-z_]+)"', sources))


def named(text):
    """The metrics that a text names."""
    known = metrics_of_the_gateway()
    for name in re.findall(r"\bmiroir_[a-z_]+\b", text):
        # The word is the value of a label.
        if name == "miroir_overloaded":
            continue
        ending = next((ending for ending in ENDINGS if name.endswith(ending) and name not in known), "")
        yield name.removesuffix(ending)


def test_rules_are_sound():
    code, text = run("promtool", "check", "rules", RULES)
    assert code == 0, text


def test_rules_fire_when_they_should():
    code, text = run("promtool", "test", "rules", DEPLOY / "alerts" / "tests.yml")
    assert code == 0, text


def test_each_alert_is_tested_both_ways():
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    quiet, *loud = yaml.safe_load((DEPLOY / "alerts" / "tests.yml").read_text())["tests"]
    assert {test["alertname"] for test in quiet["alert_rule_test"]} == alerts
    fired = {test["alertname"] for case in loud for test in case["alert_rule_test"] if test.get("exp_alerts")}
    assert fired == alerts


def test_runbooks_are_there():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            path, _, anchor = rule["annotations"]["runbook"].partition("#")
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^a-z0-9-]", "", heading.lower().replace(" ", "-")) for heading in headings}
            assert not anchor or anchor in anchors, (rule["alert"], anchor)


def test_rules_name_metrics_of_the_gateway():
    assert set(named(RULES.read_text())) <= metrics_of_the_gateway()


def test_the_dashboard_names_metrics_of_the_gateway():
    board = json.loads((DEPLOY / "grafana" / "miroir.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    assert set(named(" ".join(expressions))) <= metrics_of_the_gateway()


def test_expressions_of_the_dashboard_are_sound(tmp_path):
    """promtool reads each as the expression of a rule; Grafana's variable is a time."""
    board = json.loads((DEPLOY / "grafana" / "miroir.json").read_text())
    panels = [panel for each in board["panels"] for panel in (each, *each.get("panels", []))]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    code, text = run("promtool", "check", "rules", path)
    assert code == 0, text


def test_the_dashboard_is_up_to_date():
    made = load(DEPLOY / "grafana" / "generate.py").text()
    for path in (DEPLOY / "grafana" / "miroir.json", DEPLOY / "chart" / "miroir" / "files" / "miroir.json"):
        assert path.read_text() == made, f"{path} is out of date: deploy/grafana/generate.py writes it anew"
    rules = DEPLOY / "chart" / "miroir" / "files" / "miroir.rules.yml"
    assert rules.read_text() == RULES.read_text(), f"copy {RULES} to {rules}"


def test_panels_have_room():
    """No two panels of the open dashboard lie on one another."""
    board = json.loads((DEPLOY / "grafana" / "miroir.json").read_text())
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
