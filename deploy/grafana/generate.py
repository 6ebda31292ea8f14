#!/usr/bin/env python3
"""Makes miroir.json, the dashboard for Grafana, of panels.yml and the table of metrics in docs/metrics.md.

Everything in the table that no panel shows gets a plain panel in a last row, which is closed at first, so that the
dashboard has every metric. `deploy/grafana/generate.py` writes the file; a test compares.
"""

import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
METRICS = HERE.parents[1] / "docs" / "metrics.md"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 6, 7


def targets(panel):
    """The questions to Prometheus of one panel."""
    if metric := panel.get("quantiles"):
        where = "{" + panel["where"] + "}" if "where" in panel else ""
        by = panel.get("by")
        shares = ["0.99"] if by else ["0.5", "0.95", "0.99"]
        group = f"le, {by}" if by else "le"
        found = [
            (
                f"histogram_quantile({share}, sum by ({group}) (rate({metric}_bucket{where}[$__rate_interval])))",
                "{{" + by + "}}" if by else f"p{round(float(share) * 100)}",
            )
            for share in shares
        ]
    else:
        found = [(panel["expr"], panel["legend"])]
        if "expr2" in panel:
            found.append((panel["expr2"], panel["legend2"]))
    return [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for number, (expression, legend) in enumerate(found)
    ]


def graph(panel, number, x, y):
    return {
        "id": number,
        "type": "timeseries",
        "title": panel["title"],
        "description": panel["about"],
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel["unit"], "min": 0, "custom": {"fillOpacity": 8, "lineWidth": 1, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": targets(panel),
    }


def metrics_of(document):
    """Name, kind and meaning of each metric in the reference's tables: rows of `name`, kind, ..., meaning."""
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        name = re.fullmatch(r"`(miroir_\w+)(?:\{[^}]*\})?`", cells[0])
        if name and len(cells) >= 3:
            kind = next((cell for cell in cells[1:] if cell in ("counter", "gauge", "histogram")), None)
            if kind:
                yield name[1], kind, cells[-1]


def plain(name, kind, meaning):
    panel = {"title": name, "unit": "s" if name.endswith("_seconds") else "short", "about": meaning}
    if kind == "histogram" and name.endswith("_seconds"):
        return panel | {"quantiles": name}
    if kind == "histogram":
        return panel | {"expr": f'{name}{{quantile="0.99"}}', "legend": "{{instance}} p99"}
    if kind == "counter":
        return panel | {"expr": f"sum(rate({name}[$__rate_interval]))", "legend": "a second"}
    return panel | {"expr": name, "legend": "{{instance}}"}


def dashboard(rows, metrics):
    shown = set(re.findall(r"miroir_\w+", json.dumps(rows)))
    rest = [plain(*metric) for metric in metrics if metric[0] not in shown]
    panels, y, number = [], 0, 0
    for position, row in enumerate([*rows, {"row": "Every other metric", "panels": rest}]):
        closed = position == len(rows)
        if closed and not rest:
            break
        number += 1
        bar = {
            "id": number,
            "type": "row",
            "title": row["row"],
            "collapsed": closed,
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            "panels": [],
        }
        panels.append(bar)
        y += 1
        inside = bar["panels"] if closed else panels
        for place, panel in enumerate(row["panels"]):
            number += 1
            inside.append(graph(panel, number, place % 4 * WIDTH, y + place // 4 * HEIGHT))
        y += (len(row["panels"]) + 3) // 4 * HEIGHT
    return {
        "title": "Miroir",
        "uid": "miroir",
        "tags": ["miroir"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}]
        },
        "panels": panels,
    }


def text():
    rows = yaml.safe_load((HERE / "panels.yml").read_text())
    metrics = list(metrics_of(METRICS.read_text())) if METRICS.exists() else []
    return json.dumps(dashboard(rows, metrics), indent=1) + "\n"


if __name__ == "__main__":
    made = text()
    for path in (HERE / "miroir.json", HERE.parent / "chart" / "miroir" / "files" / "miroir.json"):
        path.write_text(made)
    sys.stdout.write(f"{made.count('targets')} panels\n")
