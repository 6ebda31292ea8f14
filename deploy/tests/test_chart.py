"""The Helm chart: accepted and refused values, valid manifests, and gateways that start as the manifests say."""

import base64
import json
import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

from conftest import BINARIES, DEPLOY, free_ports, request, run, search_what_was_written, wait_for

CHART = DEPLOY / "chart" / "miroir"
ACCEPTED = sorted((DEPLOY / "chart" / "tests" / "accepted").glob("*.yaml"))
REFUSED = sorted((DEPLOY / "chart" / "tests" / "refused").glob("*.yaml"))
KUBERNETES_VERSIONS = ("1.30", "1.33")
# The operator's own kinds, which Kubernetes' schemas do not have.
OPERATOR_KINDS = ("ServiceMonitor", "PrometheusRule")


def name(path):
    return path.stem


def template(values, *more):
    return run("helm", "template", "search", CHART, "--namespace", "shop", "--values", values, *more)


def manifests(values):
    code, text = template(values)
    assert code == 0, text
    return [document for document in yaml.safe_load_all(text) if document]


def one(documents, kind, ending=""):
    found = [each for each in documents if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]
    assert len(found) == 1, [each["metadata"]["name"] for each in documents if each["kind"] == kind]
    return found[0]


def merged(values):
    """The chart's values with those of a file over them, as helm has them."""

    def over(lower, upper):
        if isinstance(lower, dict) and isinstance(upper, dict):
            return {key: over(lower.get(key), upper.get(key, lower.get(key))) for key in lower | upper}
        return upper

    return over(yaml.safe_load((CHART / "values.yaml").read_text()), yaml.safe_load(values.read_text()) or {})


def test_there_is_a_table():
    assert len(ACCEPTED) >= 6 and len(REFUSED) >= 15
    for rule in range(1, 6):
        assert any(path.name.startswith(f"rule{rule}-") for path in REFUSED)


@pytest.mark.parametrize("values", ACCEPTED, ids=name)
def test_lint(values):
    code, text = run("helm", "lint", "--strict", CHART, "--values", values)
    assert code == 0, text


@pytest.mark.parametrize("values", ACCEPTED, ids=name)
def test_manifests_are_valid(values):
    documents = manifests(values)
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    assert len(names) == len(set(names)), names
    for document in documents:
        if document["kind"] in OPERATOR_KINDS:
            assert document["apiVersion"] == "monitoring.coreos.com/v1" and document["spec"], document
            continue
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("values", ACCEPTED, ids=name)
def test_selectors_find_what_is_there(values):
    """Each service and budget selects pods of the chart, and claims and secrets that are named are made or given."""
    documents = manifests(values)
    workloads = [each for each in documents if each["kind"] in ("Deployment", "StatefulSet")]
    for document in documents:
        selector = document["spec"].get("selector", {}) if document["kind"] in ("Service", "PodDisruptionBudget") else None
        if selector is None:
            continue
        wanted = dict(selector.get("matchLabels", selector))
        wanted.pop("statefulset.kubernetes.io/pod-name", None)
        assert any(
            wanted.items() <= workload["spec"]["template"]["metadata"]["labels"].items() for workload in workloads
        ), document["metadata"]["name"]


@pytest.mark.parametrize("values", REFUSED, ids=name)
def test_refused_values_say_what_to_set(values):
    says = values.read_text().splitlines()[0].removeprefix("# says: ")
    code, text = template(values)
    assert code != 0, text
    assert says in text
    if says.startswith("rule "):
        # The same sentence by any validator of JSON schemas, over the whole values and over the file's own.
        schema = json.loads((CHART / "values.schema.json").read_text())
        for instance in (merged(values), yaml.safe_load(values.read_text())):
            errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(instance)]
            assert any(says in error for error in errors), errors
        # The templates refuse it themselves where the schema is skipped.
        code, text = template(values, "--skip-schema-validation")
        assert code != 0 and says in text, text


@pytest.mark.parametrize("values", ACCEPTED, ids=name)
def test_the_schema_takes_accepted_values(values):
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(merged(values))


def test_the_schema_names_every_value():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}


def test_every_object_is_there():
    kinds = {each["kind"] for each in manifests(DEPLOY / "chart/tests/accepted/high-availability.yaml")}
    assert kinds >= {
        "Deployment",
        "Service",
        "ConfigMap",
        "Secret",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "ServiceMonitor",
        "PrometheusRule",
        "StatefulSet",
        "NetworkPolicy",
        "ServiceAccount",
    }
    budget = one(manifests(DEPLOY / "chart/tests/accepted/high-availability.yaml"), "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1


def test_random_keys_are_not_the_same_in_two_installations():
    keys = [one(manifests(ACCEPTED[0]), "Secret", "-keys")["data"] for _ in range(2)]
    assert keys[0] != keys[1]


def environment_of(container, documents):
    """The variables of a container, as Kubernetes makes them."""
    secrets = {
        each["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in each["data"].items()}
        for each in documents
        if each["kind"] == "Secret"
    }
    found = {}
    for source in container.get("envFrom", []):
        found |= secrets[source["secretRef"]["name"]]
    for variable in container.get("env", []):
        if "value" in variable:
            known = dict(found)
            found[variable["name"]] = re.sub(
                r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), str(variable["value"])
            )
        elif "secretKeyRef" in variable["valueFrom"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = secrets[reference["name"]][reference["key"]]
        else:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            found[variable["name"]] = {"status.podIP": "127.0.0.1", "metadata.name": "pod-0"}[path]
    return found


def arguments_of(container, environment):
    return [re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], each) for each in container["args"]]


@pytest.mark.parametrize("case", ["default", "high-availability"])
def test_the_gateway_starts_as_the_manifests_say(case, programs, tmp_path):
    """Flags, variables and file of the deployment, with addresses of this machine and real nodes behind them."""
    documents = manifests(DEPLOY / "chart" / "tests" / "accepted" / f"{case}.yaml")
    deployment = one(documents, "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    environment = environment_of(container, documents)
    port, metrics, redis = free_ports(3)
    config = one(documents, "ConfigMap", "search-miroir")["data"]["miroir.toml"]
    for service in sorted(set(re.findall(r"http://([\w.-]+\.svc:7700)", config))):
        node = programs.node(key=environment["MIROIR_NODE_MASTER_KEY"])
        config = config.replace(service, f"127.0.0.1:{node}")
    config = config.replace("0.0.0.0:7700", f"127.0.0.1:{port}").replace("0.0.0.0:9090", f"127.0.0.1:{metrics}")
    # The volume of the pod, and the folder of its config map.
    (tmp_path / "data").mkdir()
    (tmp_path / "miroir.toml").write_text(config.replace("/var/lib/miroir", str(tmp_path / "data")))
    arguments = [each.replace("/etc/miroir", str(tmp_path)) for each in arguments_of(container, environment)]
    if case == "high-availability":
        server = one(documents, "StatefulSet", "-redis")["spec"]["template"]["spec"]["containers"][0]
        variables = environment_of(server, documents)
        options = [each.replace("/data", str(tmp_path / "data")) for each in arguments_of(server, variables)]
        programs.start(["redis-server", "--port", redis, "--bind", "127.0.0.1", *options])
        host = "search-miroir-redis.shop.svc:6379"
        assert host in environment["MIROIR_STORE"]
        environment["MIROIR_STORE"] = environment["MIROIR_STORE"].replace(host, f"127.0.0.1:{redis}")
        wait_for("redis", lambda: run("redis-cli", "-p", redis, "ping")[1])
    code, text = run(BINARIES / "miroir", *arguments, "--check-config", env=environment)
    assert code == 0, text
    programs.gateway(port, arguments, environment)
    search_what_was_written(port, environment["MIROIR_MASTER_KEY"])
    status, _, topology = request(port, "GET", "/_miroir/topology", key=environment["MIROIR_ADMIN_API_KEY"])
    assert status == 200 and len(topology["nodes"]) == config.count("group="), topology
    if case == "high-availability":
        password = environment["MIROIR_STORE"].split(":")[2].split("@")[0]
        keys = run("redis-cli", "-p", redis, "-a", password, "--no-auth-warning", "dbsize")[1]
        assert int(keys) > 0, "the gateway keeps nothing in Redis"
    probe = container["readinessProbe"]["httpGet"]
    assert request(port, "GET", probe["path"])[0] == 200
    status, _, text = request(metrics, "GET", "/metrics")
    assert status == 200 and "miroir_requests_total" in text


def test_ports_are_those_that_the_file_names():
    documents = manifests(ACCEPTED[0])
    container = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    config = one(documents, "ConfigMap", "search-miroir")["data"]["miroir.toml"]
    assert f'listen = "0.0.0.0:{ports["clients"]}"' in config
    assert f'metrics-listen = "0.0.0.0:{ports["metrics"]}"' in config


def test_examples_use_values_that_the_chart_takes(tmp_path):
    """The values that the Argo CD application hands to the chart are accepted."""
    examples = DEPLOY / "chart" / "examples"
    application = yaml.safe_load((examples / "argo-cd.yaml").read_text())
    assert application["kind"] == "Application"
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(application["spec"]["source"]["helm"]["valuesObject"]))
    documents = manifests(values)
    made = {each["metadata"]["name"] for each in documents if each["kind"] == "Secret"}
    external = list(yaml.safe_load_all((examples / "external-secrets.yaml").read_text()))
    given = {each["spec"]["target"]["name"]: each for each in external if each["kind"] == "ExternalSecret"}
    container = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    named = {source["secretRef"]["name"] for source in container["envFrom"]}
    assert named <= set(given) and not made & named
    variables = {each["secretKey"] for each in given[named.pop()]["spec"]["data"]}
    assert variables == {
        "MIROIR_MASTER_KEY",
        "MIROIR_NODE_MASTER_KEY",
        "MIROIR_ADMIN_API_KEY",
        "ADMIN_SESSION_SEAL_KEY",
        "SEARCH_UI_JWT_SECRET",
    }
    store = next(each for each in container["env"] if each["name"] == "MIROIR_STORE")["valueFrom"]["secretKeyRef"]
    assert store["key"] in {each["secretKey"] for each in given[store["name"]]["spec"]["data"]}
