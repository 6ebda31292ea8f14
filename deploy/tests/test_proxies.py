"""The examples for HAProxy and nginx: each serves a cluster of two gateways, also once one of them is killed."""

import re

import pytest

from conftest import DEPLOY, MASTER_KEY, NODE_KEY, free_ports, request, run, search_what_was_written, wait_for

PROXY = DEPLOY / "proxy"


@pytest.fixture
def pods(programs, tmp_path):
    """Two gateways on one Redis: their processes and ports."""
    redis, *ports = free_ports(3)
    programs.start(["redis-server", "--port", redis, "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path])
    wait_for("redis", lambda: "PONG" in run("redis-cli", "-p", redis, "ping")[1])
    nodes = [programs.node() for _ in range(2)]
    where = [f"--node=n{number}=http://127.0.0.1:{port}" for number, port in enumerate(nodes)]
    environment = {
        "MIROIR_MASTER_KEY": MASTER_KEY,
        "MIROIR_NODE_MASTER_KEY": NODE_KEY,
        "MIROIR_STORE": f"redis://127.0.0.1:{redis}/0",
    }
    started = [
        (programs.gateway(port, ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "off", *where], environment), port)
        for port in ports
    ]
    # A proxy takes a pod out that does not answer its first questions, and needs a while to take it back.
    for _, port in started:
        wait_for("a gateway", lambda port=port: request(port, "GET", "/_miroir/ready")[0] == 200)
    return started


def with_addresses(text, pods, port):
    """The example with ports of this machine; pods that are not there stay away."""
    addresses = iter([f"127.0.0.1:{pod}" for _, pod in pods] + ["127.0.0.1:1"])
    return re.sub(r"10\.0\.1\.\d:7700", lambda _: next(addresses), text).replace("7700", str(port))


def check(pods, port):
    wait_for("the proxy", lambda: request(port, "GET", "/health")[0] == 200)
    search_what_was_written(port, MASTER_KEY)
    assert request(port, "GET", "/_miroir/topology")[0] == 403
    assert request(port, "GET", "/_miroir/ready")[0] == 200
    # A body of several megabytes goes through.
    documents = [{"id": number, "text": "word " * 2000} for number in range(300)]
    status, _, task = request(port, "POST", "/indexes/long/documents?primaryKey=id", documents, MASTER_KEY)
    assert status == 202, task
    pods[0][0].kill()
    # Connections that the dead gateway had, or that its kernel still takes, are no client's concern.
    for _ in range(20):
        status, _, found = request(port, "GET", "/indexes/books/search?q=book", key=MASTER_KEY)
        assert status == 200 and len(found["hits"]) == 3, found
        status, _, found = request(port, "POST", "/indexes/books/search", {"q": "book"}, MASTER_KEY)
        assert status == 200 and len(found["hits"]) == 3, found
    pods[0][0].wait()


def test_haproxy(pods, programs, tmp_path):
    (port,) = free_ports(1)
    path = tmp_path / "haproxy.cfg"
    path.write_text(with_addresses((PROXY / "haproxy.cfg").read_text(), pods, port).replace("0.0.0.0", "127.0.0.1"))
    code, text = run("haproxy", "-c", "-f", path)
    assert code == 0 and "warning" not in text.lower(), text
    programs.start(["haproxy", "-db", "-f", path])
    check(pods, port)


def test_nginx(pods, programs, tmp_path):
    (port,) = free_ports(1)
    path = tmp_path / "nginx.conf"
    text = with_addresses((PROXY / "nginx.conf").read_text(), pods, port)
    text = text.replace(f"listen {port}", f"listen 127.0.0.1:{port}").replace("/run/nginx.pid", str(tmp_path / "nginx.pid"))
    # Its folders for bodies belong to root elsewhere.
    text = text.replace("access_log off;", f"access_log off; client_body_temp_path {tmp_path}/bodies;")
    path.write_text(text)
    code, said = run("nginx", "-t", "-c", path, "-p", tmp_path, "-e", tmp_path / "error.log")
    assert code == 0 and "warn" not in said, said
    programs.start(["nginx", "-c", path, "-p", tmp_path, "-e", tmp_path / "error.log", "-g", "daemon off;"])
    check(pods, port)
