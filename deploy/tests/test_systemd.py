"""The unit, its files, and the kernel's settings, as systemd reads them."""

import re

from conftest import BINARIES, DEPLOY, run

UNIT = DEPLOY / "systemd" / "miroir.service"
# systemd's measure of what a service could do, from 0 to 10.
EXPOSURE_MAX = 2.0


def test_the_unit_is_sound_and_hardened(tmp_path):
    unit = tmp_path / "miroir.service"
    # verify looks for the program.
    unit.write_text(UNIT.read_text().replace("/usr/bin/miroir", str(BINARIES / "miroir")))
    code, text = run("systemd-analyze", "verify", unit)
    assert code == 0 and "miroir.service:" not in text, text
    code, text = run("systemd-analyze", "security", "--offline=true", unit)
    exposure = re.search(r"Overall exposure level for miroir.service: ([\d.]+)", text)
    assert code == 0 and float(exposure[1]) <= EXPOSURE_MAX, text


def test_the_files_start_a_gateway(tmp_path):
    keys = (DEPLOY / "systemd" / "keys").read_text()
    names = re.findall(r"^(\w+)=$", keys, re.MULTILINE)
    assert names == ["MIROIR_MASTER_KEY", "MIROIR_NODE_MASTER_KEY", "MIROIR_ADMIN_API_KEY"]
    environment = {name: "a-key-of-your-own-that-is-long" for name in names}
    code, text = run(BINARIES / "miroir", "--config", DEPLOY / "systemd" / "miroir.toml", "--check-config", env=environment)
    assert code == 0, text
    # Empty as it is shipped, so that nobody runs in production with a key that everybody knows.
    code, text = run(BINARIES / "miroir", "--config", DEPLOY / "systemd" / "miroir.toml", "--check-config", env={})
    assert code == 2 and "option master-key" in text, text


def test_kernel_settings_exist():
    """Each is there on this kernel; `-` marks those that older kernels lack."""
    for line in (DEPLOY / "systemd" / "90-miroir.conf").read_text().splitlines():
        if line and not line.startswith("#"):
            name = line.split("=")[0].strip()
            code, text = run("sysctl", name.removeprefix("-"))
            assert code == 0 or name.startswith("-"), text
