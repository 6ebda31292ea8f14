"""Releases: what is packed is the same each time, complete, and of one version."""

import re
import shutil
import tarfile
import tomllib

import yaml

from conftest import BINARIES, DEPLOY, ROOT, run

RELEASE = DEPLOY / "release.sh"


def version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def test_scripts_are_clean():
    scripts = [RELEASE, DEPLOY / "tests" / "run", ROOT / ".ci" / "run", ROOT / ".ci" / "test", ROOT / ".ci" / "lib.sh"]
    code, text = run("shellcheck", "--shell=bash", "--severity=warning", "--external-sources", "--exclude=SC1091", *scripts, cwd=ROOT)
    assert code == 0, text


def test_packing_twice_gives_the_same_bytes(tmp_path):
    # The smaller of the two programs stands for both.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("miroir", "miroir-ctl"):
        shutil.copy(BINARIES / "miroir-ctl", programs / name)
    sums = []
    for number in range(2):
        out = tmp_path / str(number)
        code, text = run(RELEASE, "pack", programs, out, "test-host")
        assert code == 0, text
        code, text = run("sha256sum", "--check", "SHA256SUMS", cwd=out)
        assert code == 0, text
        sums.append((out / "SHA256SUMS").read_text())
    assert sums[0] == sums[1]
    name = f"miroir-{version()}-test-host"
    with tarfile.open(tmp_path / "0" / f"{name}.tar.gz") as archive:
        members = {member.name: member for member in archive.getmembers()}
        archive.extract(f"{name}/miroir", tmp_path, filter="data")
    assert all(member.uid == 0 for member in members.values())
    for path in ("miroir", "miroir-ctl", "README.md", "LICENSE", "deploy/systemd/miroir.service", "deploy/proxy/haproxy.cfg"):
        assert f"{name}/{path}" in members, path
    # Line tables are apart, and the program runs without them.
    assert members[f"{name}/miroir"].size < (programs / "miroir").stat().st_size / 2
    code, text = run(tmp_path / name / "miroir", "--help")
    assert code == 0 and "Usage" in text, text


def test_one_version_everywhere():
    chart = yaml.safe_load((DEPLOY / "chart" / "miroir" / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version()
    application = yaml.safe_load((DEPLOY / "chart" / "examples" / "argo-cd.yaml").read_text())
    assert application["spec"]["source"]["targetRevision"] == f"v{version()}"


def test_the_package_has_what_it_names():
    """Sources of the .deb's files exist, but for the programs, which a build makes; the unit starts what is installed."""
    deb = tomllib.loads((ROOT / "gateway" / "Cargo.toml").read_text())["package"]["metadata"]["deb"]
    installed = {}
    for source, target, mode in deb["assets"]:
        if not source.startswith("target/"):
            assert list((ROOT / "gateway").glob(source)), source
        installed["/" + target + source.rsplit("/", 1)[1]] = mode
    assert installed["/etc/miroir/keys"] == "600"
    for path in deb["conf-files"]:
        assert path in installed, path
    units = deb["systemd-units"]
    unit = (ROOT / "gateway" / units["unit-scripts"] / f"{units['unit-name']}.service").read_text()
    start = re.search(r"^ExecStart=(\S+) --config (\S+)$", unit, re.MULTILINE)
    assert start[1] in installed and start[2] in installed
    assert re.search(r"^EnvironmentFile=(\S+)$", unit, re.MULTILINE)[1] in installed


def test_the_image_has_the_profile_of_releases():
    profiles = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
    assert profiles["ship"]["inherits"] == "release"
    assert "--profile ship" in (DEPLOY / "container" / "Dockerfile").read_text()
    assert "--profile ship" in RELEASE.read_text()


def test_the_toolchain_of_the_image_is_that_of_the_repository():
    channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    image = re.search(r"^FROM rust:([\d.]+)-", (DEPLOY / "container" / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert channel == image or channel.startswith(image + "."), (channel, image)
