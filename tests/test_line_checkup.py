"""The dry run of a line: what is asked, that nothing is changed by it, and what is said of each fault."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
import trustme
from loopback import HOST, run_clean
from program import free_port
from sim.registrar import Registrar, password_of
from sip.peers import respond

from sipagent import line_checkup
from sipagent.aio import loop
from sipagent.aio.udp import UdpSocket
from sipagent.config import Config, load
from sipagent.errors import SipagentError
from sipagent.sip.events import Flow
from sipagent.sip.message import Request, parse_message

Answer = Callable[[bytes], bytes | None]
"""What a peer sends back."""
Findings = list[tuple[str, str]]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return run_clean(loop.run, main)


class Page:
    """The findings."""

    def __init__(self) -> None:
        self.lines: Findings = []

    def good(self, text: str) -> None:
        self.lines.append(("good", text))

    def bad(self, text: str) -> None:
        self.lines.append(("bad", text))

    def note(self, text: str) -> None:
        self.lines.append(("note", text))


def configure(folder: Path, domain: str, *, tls: Mapping[str, str] | None = None, **line: Any) -> Config:
    """A line that registers at ``domain``."""
    fields = {"name": "pbx", "agent": "agent", "domain": domain, "user": "7", "password": password_of("7"), **line}
    path = folder / "config.yaml"
    listen = [f"udp:{HOST}:{free_port()}", f"tcp:{HOST}:{free_port()}"]
    agents = {"agent": {"engine": "local", "instructions": "Be brief."}}
    sip = {"listen": listen, "tls": tls or {}}
    settings = {"sip": sip, "lines": [fields], "agents": agents, "engines": {"local": {"url": "local"}}}
    path.write_text(json.dumps(settings))  # JSON is YAML
    return load(path)


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """A peer on UDP; its place."""

    def receive(data: bytes, source: tuple[str, int]) -> None:
        found = answer(data)
        if found is not None:
            peer.send(found, source)

    peer = UdpSocket((HOST, 0), receive)
    try:
        yield f"{HOST}:{peer.address[1]}"
    finally:
        peer.close()


async def check(config: Config) -> Findings:
    page = Page()
    await line_checkup.check_lines(config, page)
    return page.lines


def check_against(folder: Path, answer: Answer, **line: Any) -> tuple[str, Findings]:
    """Try a line at that peer; return where it is and what was found."""

    async def main() -> tuple[str, Findings]:
        async with answering(answer) as place:
            return place, await check(configure(folder, place, **line))

    found: tuple[str, Findings] = run(main())
    return found


def say(status: int, headers: str = "") -> Callable[[bytes], bytes]:
    """Answer every request so."""

    def answer(data: bytes) -> bytes:
        request = parse_message(data)
        assert isinstance(request, Request)
        return respond(request, status, tag="r", headers=headers)

    return answer


def test_it_is_taken_and_nothing_is_changed(tmp_path: Path) -> None:
    received = []

    def answer(data: bytes) -> bytes:
        """As a registrar does that has us registered by two telephones."""
        request = parse_message(data)
        assert isinstance(request, Request)
        received.append(request)
        if "Authorization" not in request.headers:
            return respond(request, 401, headers='WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"')
        return respond(request, 200, contact="<sip:7@192.0.2.1>;expires=60, <sip:7@192.0.2.2>;expires=60")

    place, found = check_against(tmp_path, answer)
    assert found == [("good", f"line pbx: {place} takes the password of 7, which is registered 2 times now")]
    assert [request.method for request in received] == ["REGISTER"] * 2
    assert not any(name in request.headers for request in received for name in ("Contact", "Expires"))


def test_a_registrar_that_asks_for_no_password(tmp_path: Path) -> None:
    place, found = check_against(tmp_path, say(200), password="")
    assert found == [("good", f"line pbx: {place} takes, without a password, 7, which is registered 0 times now")]


def test_a_wrong_password(tmp_path: Path) -> None:
    registrar = Registrar(granted_s=300)
    place, found = check_against(tmp_path, lambda data: registrar.receive(data, 0.0), password="wrong")
    why = '401 Whatever: the user name or the password is wrong (realm "pbx.example.com")'
    assert found == [("bad", f"line pbx: {place}: {why}")]
    assert registrar.bound(0.0) == 0


def test_a_realm_that_is_not_the_lines(tmp_path: Path) -> None:
    registrar = Registrar(granted_s=300)
    place, found = check_against(tmp_path, lambda data: registrar.receive(data, 0.0), realm="asterisk")
    why = '401 Whatever: the realm is "pbx.example.com", and the line answers "asterisk" only'
    assert found == [("bad", f"line pbx: {place}: {why}")]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "403 Whatever: the user may not register, or the password is wrong"),
        (404, "404 Whatever: there is no such user"),
        (405, "405 Whatever: what answers is no registrar"),
        (501, "501 Whatever: what answers is no registrar"),
        (500, "500 Whatever"),
    ],
)
def test_a_refusal(tmp_path: Path, status: int, words: str) -> None:
    place, found = check_against(tmp_path, say(status))
    assert found == [("bad", f"line pbx: {place}: {words}")]


def test_a_registrar_that_takes_no_question(tmp_path: Path) -> None:
    """FreeSWITCH wants a Contact."""
    place, found = check_against(tmp_path, say(400))
    assert found == [("note", f"line pbx: {place} answers, but can't be asked without registering: 400 Whatever")]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, None), (4, None), (-20, "20 minutes ahead of its own"), (20, "20 minutes behind its own")],
)
def test_clocks(tmp_path: Path, minutes: int, words: str | None) -> None:
    theirs = formatdate(time() + 60 * minutes, usegmt=True)
    place, found = check_against(tmp_path, say(200, f"Date: {theirs}"))
    bad = [text for kind, text in found if kind == "bad"]
    assert bad == ([] if words is None else [f"line pbx: {place}: our clock is {words}"])


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "Mon, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_is_none(tmp_path: Path, date: str) -> None:
    _, found = check_against(tmp_path, say(200, f"Date: {date}"))
    assert [kind for kind, _ in found] == ["good"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nothing_listens(tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_checkup, "ANSWER_S", 0.3)
    place = f"{HOST}:{free_port()}"
    ((kind, text),) = run(check(configure(tmp_path, place, transport=transport)))
    assert kind == "bad"
    assert text.startswith(f"line pbx: {place}: {transport.upper()} {place} refuses")
    assert text.endswith("nothing listens there")


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_checkup, "ANSWER_S", 0.3)
    place, found = check_against(tmp_path, lambda data: None)
    why = f"UDP {place} does not answer; is the address right, and no firewall between?"
    assert found == [("bad", f"line pbx: {place}: {why}")]


def test_a_name_that_does_not_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_flow(self: object, uri: object) -> Flow:
        raise SipagentError("no way")

    async def look_up(host: str) -> None:
        return None

    monkeypatch.setattr("sipagent.aio.ua.SipEndpoint.find_flow", find_flow)
    monkeypatch.setattr(line_checkup, "look_up", look_up)
    found = run(check(configure(tmp_path, "pbx.example.com")))
    assert found == [("bad", "line pbx: pbx.example.com: the name pbx.example.com does not resolve")]


def test_every_registrar_is_tried(tmp_path: Path) -> None:
    async def main() -> None:
        async with answering(say(200)) as first, answering(say(403)) as second:
            found = await check(configure(tmp_path, "pbx.example.com", registrars=[first, second]))
        assert [(kind, text.split(" ")[2].rstrip(":")) for kind, text in found] == [("good", first), ("bad", second)]

    run(main())


def test_lines_that_do_not_register_are_not_tried(tmp_path: Path) -> None:
    assert run(check(configure(tmp_path, "pbx.example.com", register=False))) == []


@pytest.mark.parametrize(
    ("domain", "is_trusted", "words"),
    [
        ("localhost", False, "no TLS: the certificate is refused: unable to get local issuer certificate"),
        ("127.0.0.1", True, "no TLS: the certificate is refused: IP address mismatch"),
        ("localhost", True, None),
    ],
)
def test_certificates(tmp_path: Path, domain: str, is_trusted: bool, words: str | None) -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")

    async def register(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            writer.write(say(200)(await reader.readuntil(b"\r\n\r\n")))
        writer.close()

    async def main() -> tuple[str, Findings]:
        server = await asyncio.start_server(register, HOST, 0, ssl=server_side)
        place = f"{domain}:{server.sockets[0].getsockname()[1]}"
        tls = {"ca": str(tmp_path / "ca.pem")}
        found = await check(configure(tmp_path, place, transport="tls", tls=tls))
        server.close()
        await server.wait_closed()
        return place, found

    place, ((kind, text),) = run(main())
    assert kind == ("good" if words is None else "bad")
    assert text.startswith(f"line pbx: {place}")
    assert words is None or words in text


def test_what_speaks_no_tls(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> Findings:
        server = await asyncio.start_server(hang_up, HOST, 0)
        found = await check(configure(tmp_path, f"{HOST}:{server.sockets[0].getsockname()[1]}", transport="tls"))
        server.close()
        await server.wait_closed()
        return found

    ((kind, text),) = run(main())
    assert kind == "bad"
    assert ": no TLS: " in text
