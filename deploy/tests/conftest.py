"""What the checks share: programs that are started and ended again, and a small HTTP client.

Invariant: whatever a test starts ends with it, and listens on loopback alone.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BINARIES = (ROOT / os.environ.get("MIROIR_BIN_DIR", "target/debug")).resolve()
NODE_KEY = "a-key-of-nodes-that-is-long"
MASTER_KEY = "a-master-key-that-is-long"
# No test waits longer for one event; a machine under load may need minutes.
WAIT_MAX = 180


def free_ports(count):
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def request(port, method, path, body=None, key=None, headers=None):
    """One request on a connection of its own: status, headers, and the body as JSON where it is JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_MAX)
    with contextlib.closing(connection):
        head = {"Content-Type": "application/json"} | (headers or {})
        if key:
            head["Authorization"] = f"Bearer {key}"
        text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        connection.request(method, path, text, head)
        answer = connection.getresponse()
        raw = answer.read()
    try:
        return answer.status, answer.headers, json.loads(raw)
    except ValueError:
        return answer.status, answer.headers, raw.decode(errors="replace")


def wait_for(what, check):
    """Polls `check` until it gives something true, and returns that."""
    deadline = time.monotonic() + WAIT_MAX
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := check():
                return found
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_MAX} s"
        time.sleep(0.05)


def wait_for_task(port, uid, key=None):
    """Waits for the end of a task, which must succeed."""
    ended = ("succeeded", "failed", "canceled")

    def look():
        status, _, task = request(port, "GET", f"/tasks/{uid}", key=key)
        assert status == 200, task
        return task if task["status"] in ended else None

    task = wait_for(f"task {uid}", look)
    assert task["status"] == "succeeded", task
    return task


class Programs:
    """Child processes of one test."""

    def __init__(self, folder):
        self.folder = folder
        self.children = []

    def start(self, arguments, environment=None, **more):
        log = open(self.folder / f"{len(self.children)}-{pathlib.Path(arguments[0]).name}.log", "wb")
        child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdout=more.pop("stdout", log),
            stderr=log,
            env={"PATH": os.environ["PATH"]} | (environment or {}),
            cwd=more.pop("cwd", self.folder),
            **more,
        )
        child.log = pathlib.Path(log.name)
        self.children.append(child)
        return child

    def node(self, key=NODE_KEY, name=None):
        """Starts an embedded node; gives its port."""
        data = self.folder / (name or f"node-{len(self.children)}")
        arguments = ["--listen", "127.0.0.1:0", "--data", data, "--no-sync", "--exit-with-parent"]
        child = self.start(
            [BINARIES / "miroir-node", *arguments, "--master-key", key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ready = json.loads(child.stdout.readline())
        return int(ready["address"].rsplit(":", 1)[1])

    def gateway(self, port, arguments, environment=None):
        """Starts a gateway and waits until it serves on the port."""
        child = self.start([BINARIES / "miroir", *arguments], environment)
        self.wait_until_serving(child, port)
        return child

    def wait_until_serving(self, child, port):
        def serves():
            assert child.poll() is None, child.log.read_text(errors="replace")
            return request(port, "GET", "/health")[0] == 200

        wait_for(f"{child.args[0]} on {port}", serves)

    def end(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in reversed(self.children):
            if child.stdin:
                child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(20)
            if child.poll() is None:
                child.kill()
                child.wait()


@pytest.fixture
def programs(tmp_path):
    started = Programs(tmp_path)
    yield started
    started.end()


def run(*arguments, **more):
    """Runs a program to its end; gives its exit code and everything that it wrote."""
    done = subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, timeout=WAIT_MAX, check=False, **more
    )
    return done.returncode, done.stdout + done.stderr


def load(path):
    """A script of the repository as a module; several have the same name."""
    specification = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def search_what_was_written(port, key):
    """Writes three documents through a gateway and finds them."""
    books = [{"id": number, "title": f"book {number}"} for number in range(3)]
    status, _, task = request(port, "POST", "/indexes/books/documents?primaryKey=id", books, key)
    assert status == 202, task
    wait_for_task(port, task["taskUid"], key)

    def finds_all():
        # Behind a proxy another pod may answer, which hears of the new index a moment later.
        status, _, found = request(port, "POST", "/indexes/books/search", {"q": "book"}, key)
        return status == 200 and len(found["hits"]) == 3

    wait_for("the three documents", finds_all)
