"""The image, the compose file and the seccomp profile.

Nothing here builds images. Instead, the tree that the Dockerfile makes is put together of this build and run by an OCI
runtime, with the command, the user, the read-only root and the profile of the image. This build is linked dynamically,
so that its libraries are put beside it, which the image does not need.
"""

import json
import os
import re
import shlex
import shutil
import subprocess

import compose_spec
import pytest
import yaml

from conftest import (
    BINARIES,
    DEPLOY,
    MASTER_KEY,
    NODE_KEY,
    WAIT_MAX,
    free_ports,
    request,
    run,
    search_what_was_written,
    wait_for,
)

CONTAINER = DEPLOY / "container"


def instructions():
    """The instructions of the Dockerfile's last stage: pairs of word and rest."""
    text = re.sub(r"\\\n", " ", (CONTAINER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    return [tuple(line.split(" ", 1)) for line in lines[last:]]


def instruction(word):
    return [rest for found, rest in instructions() if found == word]


def test_the_dockerfile_is_clean():
    code, text = run("hadolint", "--strict-labels", CONTAINER / "Dockerfile")
    assert code == 0, text


def test_the_image_is_empty_but_for_the_programs():
    assert instruction("FROM") == ["scratch"]
    assert instruction("COPY") == ["--from=build --chown=65532:65532 /image/ /"]
    assert instruction("USER") == ["65532:65532"]
    made = re.search(r"install .*", (CONTAINER / "Dockerfile").read_text())[0]
    assert made.count("/ship/") == 2 and "ship/miroir-ctl" in made, made


@pytest.fixture
def bundle(tmp_path):
    """The tree of the image as a bundle for an OCI runtime, and the function that completes it."""
    root = tmp_path / "bundle" / "rootfs"
    (root / "var/lib/miroir").mkdir(parents=True)
    for folder in ("proc", "dev", "sys"):
        (root / folder).mkdir()
    for name in ("miroir", "miroir-ctl"):
        shutil.copy(BINARIES / name, root / name)
    _, libraries = run("ldd", BINARIES / "miroir")
    for library in re.findall(r"(/lib\S+) \(", libraries):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    data = tmp_path / "data"
    data.mkdir()
    for path in (data, root / "var/lib/miroir"):
        os.chown(path, 65532, 65532)
    # The runtime's user must be able to reach it.
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)

    def complete(arguments, environment, profile):
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 65532, "gid": 65532},
                "args": arguments,
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": "/var/lib/miroir",
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/var/lib/miroir", "type": "bind", "source": str(data), "options": ["bind", "rw"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")], "seccomp": profile},
        }
        (tmp_path / "bundle" / "config.json").write_text(json.dumps(config))
        return tmp_path / "bundle"

    return complete


@pytest.mark.parametrize("driver", ["io_uring", "epoll"])
def test_the_tree_runs_as_the_image_would(driver, bundle, programs, tmp_path):
    port, metrics = free_ports(2)
    node = programs.node()
    command = json.loads(instruction("ENTRYPOINT")[0]) + json.loads(instruction("CMD")[0])
    command = [each.replace("0.0.0.0:7700", f"127.0.0.1:{port}").replace("0.0.0.0:9090", f"127.0.0.1:{metrics}") for each in command]
    profile = json.loads((CONTAINER / "seccomp.json").read_text())
    if driver == "epoll":
        # As the engines' own profiles have it: the group of io_uring is not there.
        profile["syscalls"] = [group for group in profile["syscalls"] if "io_uring_setup" not in group["names"]]
    environment = {"MIROIR_MASTER_KEY": MASTER_KEY, "MIROIR_NODE_MASTER_KEY": NODE_KEY}
    folder = bundle([*command, f"--node=a=http://127.0.0.1:{node}", "--cores=2"], environment, profile)
    name = f"miroir-{driver}-{port}"
    runtime = ["runc", "--root", tmp_path / "runtime"]
    child = programs.start([*runtime, "run", "--bundle", folder, name])
    try:
        programs.wait_until_serving(child, port)
        log = wait_for("the start in the log", lambda: text if '"started"' in (text := child.log.read_text()) else None)
        assert f'"driver":"{driver}"' in log, log
        search_what_was_written(port, MASTER_KEY)
        status, _, dump = request(port, "POST", "/dumps", key=MASTER_KEY)
        assert status == 202, dump
        done = lambda: request(port, "GET", f"/tasks/{dump['taskUid']}", key=MASTER_KEY)[2]["status"]
        assert wait_for("the dump", lambda: done() if done() in ("succeeded", "failed") else None) == "succeeded"
        # Nothing but the volume is writable, and the store is on it.
        assert (tmp_path / "data" / "store" / "format").exists()
    finally:
        run(*runtime, "kill", name, "TERM")
        assert child.wait(WAIT_MAX) == 0, child.log.read_text()


def compose(environment):
    """The compose file with its variables set, as an engine reads it; unset ones that are needed end it."""
    text = (CONTAINER / "compose.yml").read_text()

    def value(match):
        name, _, rest = match[1].partition(":")
        if environment.get(name):
            return environment[name]
        if rest.startswith("-"):
            return rest[1:]
        raise KeyError(f"{name}: {rest.removeprefix('?')}")

    return yaml.safe_load(re.sub(r"\$\{([^}]+)\}", value, text))


def keys():
    names = re.findall(r"^(\w+)=$", (CONTAINER / "env.example").read_text(), re.MULTILINE)
    return {name: f"{name.lower()}-that-is-long" for name in names}


def validate(composed):
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(composed, sort_keys=False)).validate()


def test_the_compose_file_is_valid():
    validate(compose(keys()))
    # The validator sees what is wrong.
    for word, instead in [("cap_drop", "cap_dropp"), ("nofile: 65536", "nofile: many"), ("restart: unless", "restart: x")]:
        text = yaml.safe_dump(compose(keys()))
        assert word in text, text
        with pytest.raises(Exception, match=r"\S"):
            validate(yaml.safe_load(text.replace(word, instead)))


def test_volumes_are_declared():
    found = compose(keys())
    used = {volume.split(":")[0] for service in found["services"].values() for volume in service["volumes"]}
    assert used == set(found["volumes"])


def test_each_key_is_asked_for():
    for name in keys():
        with pytest.raises(KeyError, match=f"{name}: set it in .env"):
            compose(keys() | {name: ""})


def test_the_composed_gateways_start():
    """Their flags and variables are sound, with the nodes' names put where this machine knows them."""
    found = compose(keys())
    gateways = [service for name, service in found["services"].items() if name.startswith("miroir-")]
    assert len(gateways) == 2
    for gateway in gateways:
        nodes = re.findall(r"http://([\w-]+):7700", " ".join(gateway["command"]))
        assert sorted(nodes) == sorted(name for name in found["services"] if name.startswith("node-"))
        assert set(gateway["depends_on"]) == {*nodes, "redis"}
        assert gateway["environment"]["MIROIR_STORE"].split("@")[1].startswith("redis:6379")
        arguments = [re.sub(r"http://node-(\w)", lambda match: f"http://127.0.1.{ord(match[1])}", each) for each in gateway["command"]]
        code, text = run(BINARIES / "miroir", *arguments, "--check-config", env=gateway["environment"])
        assert code == 0, shlex.join(arguments) + text


def test_the_profile_is_named_where_it_is():
    for gateway in ("miroir-1", "miroir-2"):
        options = compose(keys())["services"][gateway]["security_opt"]
        assert f"seccomp:./{(CONTAINER / 'seccomp.json').name}" in options


def test_the_profile_allows_no_more_than_a_server_needs(bundle, tmp_path):
    profile = json.loads((CONTAINER / "seccomp.json").read_text())
    names = [name for group in profile["syscalls"] for name in group["names"]]
    assert len(names) == len(set(names))
    assert not {"mount", "ptrace", "bpf", "init_module", "kexec_load", "pivot_root", "setns", "unshare"} & set(names)
    folder = bundle(["/miroir", "--version"], {}, profile)
    done = subprocess.run(
        ["runc", "--root", tmp_path / "runtime", "run", "--bundle", folder, "version"],
        capture_output=True, text=True, timeout=WAIT_MAX, check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith("miroir "), done.stderr
