"""Upgrades gateways under load, in a network of its own: `python upgrade_under_load.py sled|redis FOLDER`.

Writers and readers never stop while each gateway hands over to a new program and back. Prints one line of JSON: what was
asked, what failed, and the longest answer in milliseconds. A request that fails is one that any client would see: an
answer of 500 or more, a connection that is refused or reset, or an acknowledged document that is not there.
"""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import sys
import threading
import time

from conftest import BINARIES, MASTER_KEY, NODE_KEY, Programs, free_ports, request, run, wait_for, wait_for_task

ADMIN_KEY = "an-admin-key-that-is-long"
UPGRADES = 2
WRITERS, READERS = 2, 4


def raise_loopback():
    """A new network has its loopback down. Waiting connections follow the port to the process that takes it over."""
    with socket.socket() as any_socket:
        up = struct.pack("16sH", b"lo", 0x1 | 0x40)
        fcntl.ioctl(any_socket, 0x8914, up)
    pathlib.Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text("1")


class Load:
    """Clients that ask without a pause, each of them one pod after the other."""

    def __init__(self, ports):
        self.ports = ports
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.counts = {"searches": 0, "writes": 0, "stale": 0, "degraded": 0}
        self.failures = []
        self.acknowledged = []
        self.slowest = 0.0

    def note(self, kind, began, failure=None):
        with self.lock:
            self.counts[kind] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if failure:
                self.failures.append(failure)

    def search(self, number):
        """Odd readers keep their connections, the others open one for each search."""
        kept = {}
        turn = number
        while not self.stop.is_set():
            turn += 1
            port = self.ports[turn % len(self.ports)]
            began = time.monotonic()
            connection = kept.pop(port, None)
            for is_last in (False, True):
                is_reused = connection is not None
                connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                try:
                    connection.request("GET", "/indexes/books/search?q=book&limit=3", headers=HEADERS)
                    answer = connection.getresponse()
                    body = answer.read()
                    failure = None if answer.status == 200 else f"search: {answer.status} {body[:200]}"
                    if answer.headers.get("X-Miroir-Degraded"):
                        # Complete, but of nodes that still apply what the old process sent: the new one says so.
                        with self.lock:
                            self.counts["degraded"] += 1
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    if is_reused and not is_last:
                        # The server closed an idle connection as this client began to ask: every client asks again.
                        with self.lock:
                            self.counts["stale"] += 1
                        connection = None
                        continue
                    failure = f"search: {error!r}"
                break
            self.note("searches", began, failure)
            if number % 2 == 1 and failure is None and connection.sock is not None:
                kept[port] = connection
            else:
                connection.close()

    def write(self, number):
        turn = number
        while not self.stop.is_set():
            turn += 1
            began = time.monotonic()
            document = {"id": f"{number}-{turn}", "title": f"book {turn}"}
            try:
                port = self.ports[turn % len(self.ports)]
                status, headers, task = request(port, "POST", "/indexes/books/documents", [document], MASTER_KEY)
                failure = None if status == 202 else f"write: {status} {task}"
            except (OSError, http.client.HTTPException) as error:
                failure = f"write: {error!r}"
            if failure is None:
                with self.lock:
                    self.acknowledged.append((document["id"], task["taskUid"]))
            self.note("writes", began, failure)

    def start(self):
        jobs = [(self.write, number) for number in range(WRITERS)]
        jobs += [(self.search, number) for number in range(READERS)]
        self.threads = [threading.Thread(target=job, args=[number], daemon=True) for job, number in jobs]
        for thread in self.threads:
            thread.start()

    def wait_for_more(self, count):
        """Waits until so many more searches and writes are answered: the load is felt by whoever serves now."""
        before = dict(self.counts)
        wait_for("load", lambda: all(self.counts[kind] >= before[kind] + count for kind in ("searches", "writes")))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(120)


HEADERS = {"Authorization": f"Bearer {MASTER_KEY}"}


def is_gone(pid):
    """Whether a process has ended; one that its parent has not looked after yet has, too."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def successors(pid, program):
    """Processes of the program that were told to take over from `pid`."""
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
            if words and words[0] == str(program) and words[-3:-1] == ["--take-over", str(pid)]:
                yield int(entry.name)


def main(store, folder):
    raise_loopback()
    programs = Programs(folder)
    successors_alive = []
    try:
        # What an upgrade replaces: the file at the path by which the gateway was started.
        program = folder / "bin" / "miroir"
        program.parent.mkdir()
        shutil.copy(BINARIES / "miroir", program)
        nodes = [programs.node() for _ in range(3)]
        where = [f"--node=n{number}=http://127.0.0.1:{port}" for number, port in enumerate(nodes)]
        pods = 1 if store == "sled" else 3
        ports = free_ports(pods)
        environment = {
            "MIROIR_MASTER_KEY": MASTER_KEY,
            "MIROIR_NODE_MASTER_KEY": NODE_KEY,
            "MIROIR_ADMIN_API_KEY": ADMIN_KEY,
            "MIROIR_STORE": f"sled:{folder / 'store'}",
        }
        if store == "redis":
            (redis,) = free_ports(1)
            programs.start(["redis-server", "--port", redis, "--bind", "127.0.0.1", "--save", "", "--dir", folder])
            wait_for("redis", lambda: "PONG" in run("redis-cli", "-p", redis, "ping")[1])
            environment["MIROIR_STORE"] = f"redis://127.0.0.1:{redis}/0"
        serving = []
        for port in ports:
            options = ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "off", "--cores", "2", "--queue-delay-max", "60s", *where]
            child = programs.start([program, *options], environment)
            programs.wait_until_serving(child, port)
            serving.append(child.pid)
        status, _, task = request(ports[0], "POST", "/indexes", {"uid": "books", "primaryKey": "id"}, MASTER_KEY)
        assert status == 202, task
        wait_for_task(ports[0], task["taskUid"], MASTER_KEY)
        for port in ports:
            # Pods see each other's changes within a second.
            wait_for("the index", lambda port=port: request(port, "GET", "/indexes/books", key=MASTER_KEY)[0] == 200)
        load = Load(ports)
        load.start()
        load.wait_for_more(20)
        for _ in range(UPGRADES):
            # A new file takes the place of the old one, which runs on.
            shutil.copy(BINARIES / "miroir", program.with_suffix(".new"))
            program.with_suffix(".new").rename(program)
            for pod, pid in enumerate(serving):
                os.kill(pid, signal.SIGUSR2)
                successor = wait_for("a successor", lambda pid=pid: next(successors(pid, program), None))
                successors_alive.append(successor)
                wait_for("the end of the old process", lambda pid=pid: is_gone(pid))
                assert not is_gone(successor), f"the successor of pod {pod} has ended"
                serving[pod] = successor
                load.wait_for_more(20)
        load.end()
        for _, task in load.acknowledged[-1:]:
            wait_for_task(ports[-1], task, MASTER_KEY)
        lost = []
        for uid, task in load.acknowledged:
            wait_for_task(ports[0], task, MASTER_KEY)
            status, _, document = request(ports[0], "GET", f"/indexes/books/documents/{uid}", key=MASTER_KEY)
            if status != 200:
                lost.append(f"document {uid} of task {task}: {status}")
        result = load.counts | {
            "upgrades": UPGRADES * pods,
            "acknowledged": len(load.acknowledged),
            "failures": load.failures[:10],
            "failed": len(load.failures),
            "lost": lost[:10],
            "slowest_ms": round(load.slowest * 1000),
        }
        sys.stdout.write(json.dumps(result) + "\n")
    finally:
        for pid in successors_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        programs.end()


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
