"""sipagent registers with Kamailio: every transport, both algorithms, and when the PBX forgets or refuses it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from interop.kamailio import Algorithm, Kamailio, Transport, is_installed
from interop.matrix import cell
from interop.story import PASSWORD, USER, after, extension, pause
from program import ROOT, Program, Server, free_port

pytestmark = [pytest.mark.interop, pytest.mark.skipif(not is_installed(), reason="no Kamailio: make interop")]

BACK_WITHIN_S = 30.0
"""From a restart of the registrar to the next registration."""

QUIET_S = 60.0
QUIET_REQUESTS = 6
"""In so many seconds no more REGISTERs than these from a line that is refused."""

GRANTED_S = 20
"""The registrar's longest, so that a refresh comes soon."""


@pytest.fixture(scope="module", params=["MD5", "SHA-256"])
def pbx(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    algorithm: Algorithm = request.param
    with Kamailio(tmp_path_factory.mktemp("pbx"), {USER: PASSWORD}, algorithm=algorithm) as pbx:
        yield pbx


@pytest.mark.parametrize(
    "transport",
    [
        pytest.param(name, marks=cell("Kamailio", "register", *(["TLS"] if name in ("tls", "wss") else [])))
        for name in ("udp", "tcp", "tls", "ws", "wss")
    ],
)
def test_it_registers_and_unregisters(transport: Transport, pbx: Kamailio, folder: Path) -> None:
    since = len(pbx.log)
    with Server(folder, extension(pbx, transport)) as server:
        entry = server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        assert entry["seen_as"].startswith("127.0.0.1:")
        server.stop()
    assert any(entry["event"] == "unregistered" for entry in server.entries)
    pbx.wait_for("expires 0 ", since=since)
    asked = pbx.requests("REGISTER", USER, since=since)
    assert [one["transport"] for one in asked] == [transport] * 3


@cell("Kamailio", "register")
def test_a_nonce_that_aged_costs_one_more_request_and_no_warning(folder: Path) -> None:
    with (
        Kamailio(folder / "pbx", {USER: PASSWORD}, max_expires_s=GRANTED_S, nonce_s=2) as pbx,
        Server(folder / "server", extension(pbx)) as server,
    ):
        first = server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        assert first["expires_s"] == GRANTED_S
        pause(GRANTED_S)
        assert 4 <= len(pbx.requests("REGISTER", USER)) <= 8
        assert not [entry for entry in server.entries if entry["event"] == "registration_failed"]


@contextmanager
def example(pbx: Kamailio, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """``sipagent run examples/extension.yaml``, as somebody would start it who has set the variables it names."""
    for name, value in {
        "SIP_DOMAIN": f"127.0.0.1:{pbx.ports['udp']}", "SIP_USER": USER, "SIP_PASSWORD": PASSWORD,
        "SIP_PORT": str(free_port()), "OPENAI_API_KEY": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with Program("run", str(ROOT / "examples" / "extension.yaml"), ready="ready") as program:
        yield program


@cell("Kamailio", "register")
def test_the_example_is_back_after_the_registrar_forgot_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        pbx = stack.enter_context(Kamailio(folder / "pbx", {USER: PASSWORD}))
        program = stack.enter_context(example(pbx, folder, monkeypatch))
        program.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        since = len(pbx.log)
        pbx.restart()
        pbx.wait_for("REQUEST REGISTER", since=since, timeout_s=BACK_WITHIN_S)
        pause(1)
        assert 1 <= len(pbx.requests("REGISTER", USER, since=since)) <= 3


@cell("Kamailio", "register")
def test_a_changed_password_is_one_line_in_the_log_and_no_storm(folder: Path) -> None:
    with (
        Kamailio(folder / "pbx", {USER: PASSWORD}, max_expires_s=GRANTED_S) as pbx,
        Server(folder / "server", extension(pbx)) as server,
    ):
        server.wait_for(lambda entry: entry["event"] == "registered", timeout_s=10)
        pbx.users[USER] = "another"
        since, seen = len(pbx.log), len(server.entries)
        pbx.restart()
        after(server, seen, lambda entry: entry["event"] == "registration_failed")
        pause(QUIET_S)
        assert len(pbx.requests("REGISTER", USER, since=since)) <= QUIET_REQUESTS
        loud = [entry for entry in server.entries[seen:] if entry["level"] in ("warning", "error", "critical")]
        assert [entry["event"] for entry in loud] == ["registration_failed"]
        assert "password" in loud[0]["reason"]
        assert "another" not in str(server.entries)
        assert PASSWORD not in str(server.entries)
