"""Upgrades while clients ask: no request fails, and no acknowledged write is lost."""

import json
import pathlib
import subprocess
import sys

import pytest

from conftest import BINARIES, WAIT_MAX, free_ports, request, run, wait_for


@pytest.mark.parametrize("store", ["sled", "redis"])
def test_upgrades_under_load(store, tmp_path):
    """One gateway on sled; three on Redis, one after the other: to a new program and back."""
    script = pathlib.Path(__file__).with_name("upgrade_under_load.py")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, script, store, tmp_path],
        capture_output=True,
        text=True,
        timeout=3 * WAIT_MAX,
        check=False,
        cwd=tmp_path,
    )
    logs = "".join(path.read_text(errors="replace")[-2000:] for path in sorted(tmp_path.glob("*miroir.log")))
    assert done.returncode == 0, done.stderr + logs
    result = json.loads(done.stdout)
    assert result["failed"] == 0 and not result["lost"], (result, logs)
    assert result["upgrades"] == (2 if store == "sled" else 6)
    assert result["searches"] > 50 and result["acknowledged"] > 20, result


def start(programs, port, *more):
    options = ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "off", "--node", "a=http://127.0.0.1:1", *more]
    return programs.start([BINARIES / "miroir", *options])


def test_a_successor_that_cannot_start_changes_nothing(programs, tmp_path):
    """The store is of a newer format by the time that the successor looks: it stops, and the old process serves on."""
    (port,) = free_ports(1)
    child = start(programs, port, "--store", f"sled:{tmp_path / 'store'}")
    programs.wait_until_serving(child, port)
    (tmp_path / "store" / "format").write_text("miroir store format 7\n")
    code, text = run(
        BINARIES / "miroir",
        *child.args[1:],
        "--take-over",
        child.pid,
    )
    assert code == 2 and "written in format 7" in text and "start the release that wrote it" in text, text
    assert (tmp_path / "store" / "format").read_text() == "miroir store format 7\n"
    assert request(port, "GET", "/health")[0] == 200 and child.poll() is None


def test_only_a_process_that_is_there_is_taken_over(programs, tmp_path):
    (port,) = free_ports(1)
    options = ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "off", "--node", "a=http://127.0.0.1:1"]
    for pid, said in [("4194304", "allowed: the process id of a gateway"), ("me", "option take-over"), ("0", "option take-over")]:
        code, text = run(BINARIES / "miroir", *options, "--store", f"sled:{tmp_path / 'store'}", "--take-over", pid)
        assert code == 2 and said in text, text
        assert not (tmp_path / "store").exists()


def test_a_port_in_use_is_still_refused(programs, tmp_path):
    (port,) = free_ports(1)
    first = start(programs, port, "--store", f"sled:{tmp_path / 'store'}")
    programs.wait_until_serving(first, port)
    second = start(programs, port, "--store", f"sled:{tmp_path / 'other'}")
    assert second.wait(WAIT_MAX) == 2
    assert "the port is in use" in second.log.read_text()


def test_check_config_names_file_line_and_key(tmp_path):
    config = tmp_path / "miroir.toml"
    config.write_text('node = ["a=http://127.0.0.1:1"]\nshards = 0\n')
    code, text = run(BINARIES / "miroir", "--config", config, "--check-config")
    assert code == 2
    assert f"config file {config}: line 2: option shards" in text, text


def test_the_watchdog_hears_of_a_gateway_that_lives(programs, tmp_path):
    """systemd's variables, and a socket in its place: READY, then WATCHDOG, then STOPPING."""
    import socket

    path = tmp_path / "notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(WAIT_MAX)
    manager.bind(str(path))
    (port,) = free_ports(1)
    options = ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "off", "--node", "a=http://127.0.0.1:1"]
    child = programs.start(
        [BINARIES / "miroir", *options, "--store", f"sled:{tmp_path / 'store'}"],
        {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"},
    )

    def next_message():
        return manager.recv(200).decode()

    assert next_message().startswith("READY=1")
    assert next_message() == "WATCHDOG=1"
    child.terminate()
    wait_for("the end", lambda: next_message().startswith("STOPPING=1"))
    assert child.wait(WAIT_MAX) == 0
