"""``sipagent check`` against Kamailio: what it says is what docs/guides says that it says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop.kamailio import Kamailio, is_installed
from interop.matrix import cell
from interop.story import PASSWORD, USER, extension
from program import ROOT, free_port

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not is_installed(), reason="no Kamailio: make interop"),
    cell("Kamailio", "register"),
]

CHECK_S = 60.0

NOBODY = "127.0.0.1:9"
"""The discard port, where hardly anybody listens."""

WRONG_PASSWORD = '401 Unauthorized: the user name or the password is wrong (realm "pbx.example.com")'

FINDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "well": ({}, f"takes the password of {USER}, which is registered 0 times now"),
    "wrong password": ({"password": "no"}, WRONG_PASSWORD),
    "no such user": ({"user": "999"}, WRONG_PASSWORD),
    "wrong realm": (
        {"realm": "asterisk"}, '401 Unauthorized: the realm is "pbx.example.com", and the line answers "asterisk" only',
    ),
    "no password": ({"password": ""}, "a password is asked for, and the line has none"),
    "nobody by UDP": ({"domain": NOBODY}, "UDP 127.0.0.1:9 refuses: nothing listens there"),
    "nobody by TCP": (
        {"domain": NOBODY, "transport": "tcp"}, "TCP 127.0.0.1:9 refuses the connection: nothing listens there",
    ),
    "no such name": ({"domain": "pbx.invalid"}, "the name pbx.invalid does not resolve"),
}  # fmt: skip


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with Kamailio(tmp_path_factory.mktemp("pbx"), {USER: PASSWORD}) as pbx:
        yield pbx


def check(settings: dict[str, Any], folder: Path) -> tuple[int, str]:
    """Run it; return its exit status and what it prints."""
    usual = {
        "sip": {"listen": [f"udp:127.0.0.1:{free_port()}", f"tcp:127.0.0.1:{free_port()}"]},
        "agents": {"tested": {"engine": "model", "instructions": "Be brief."}},
        "engines": {"model": {"url": "local"}},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(usual | {"lines": settings["lines"]} | {"sip": usual["sip"] | settings["sip"]}))
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "check", str(path)], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=CHECK_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", FINDINGS)
def test_it_says_in_words_what_is_wrong(name: str, pbx: Kamailio, folder: Path) -> None:
    line, finding = FINDINGS[name]
    status, said = check(extension(pbx, **({"transport": "udp"} | line)), folder)
    assert finding in said
    assert (status == 0) == (name == "well")


def test_a_certificate_of_the_pbxs_own_making_is_named(pbx: Kamailio, folder: Path) -> None:
    settings = extension(pbx, "tls")
    status, said = check(settings | {"sip": {}}, folder)
    assert "the certificate is refused: self-signed certificate in certificate chain" in said
    assert status == 1
    status, said = check(settings, folder)
    assert f"takes the password of {USER}" in said
    assert status == 0
