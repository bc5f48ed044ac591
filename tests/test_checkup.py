import asyncio
import json
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from time import time
from typing import Any

import pytest
from connections import Authority
from loopback import HOST, make_model, run_clean
from program import free_port
from rich.console import Console

from sipagent.aio import loop
from sipagent.aio.udp import UdpSocket
from sipagent.checkup import run_checkup

TOOLS = """
from sipagent import tool

@tool
def find(name: str) -> str:
    "Finds."
    return name
"""


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return run_clean(loop.run, main)


def configure(folder: Path, engine: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Path:
    port = free_port()
    usual: dict[str, Any] = {
        "sip": {"listen": [f"udp:{HOST}:{port}", f"tcp:{HOST}:{port}"], "max_calls": 10},
        "lines": [{"name": "main", "agent": "agent"}],
        "agents": {"agent": {"engine": "model", "instructions": "Be brief."}},
        "engines": {"model": dict(engine)},
        "control": {"listen": f"{HOST}:{free_port()}"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps({**usual, **(settings or {})}))  # JSON is YAML
    return path


async def check(path: Path) -> tuple[bool, str]:
    """Whether all is well, and what was printed."""
    page = StringIO()
    is_well = await run_checkup(path, console=Console(file=page, width=60))
    return is_well, page.getvalue()


def wrong(page: str) -> list[str]:
    return [line.removeprefix("wrong ") for line in page.splitlines() if line.startswith("wrong")]


def test_all_is_well(tmp_path: Path) -> None:
    path = configure(tmp_path, {"url": "local"})
    is_well, page = run(check(path))
    assert is_well
    assert wrong(page) == []
    assert "callers see" in page
    assert "it is the embedded model" in page
    assert "tool hang_up" in page
    assert page.count("is free") == 3


def test_no_key_is_no_fault(tmp_path: Path) -> None:
    is_well, page = run(check(configure(tmp_path, {})))
    assert is_well
    assert "no api_key is set, so the embedded local model answers" in page


def test_a_bad_file_is_told_line_by_line(tmp_path: Path) -> None:
    path = configure(tmp_path, {"url": "local"}, {"sip": {"listen": ["sctp:127.0.0.1:5060"]}})
    is_well, page = run(check(path))
    assert not is_well
    assert len(wrong(page)) == page.count("wrong ")
    assert "sip.listen[0]" in wrong(page)[0], "brackets are no markup"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    is_well, page = run(check(tmp_path / "none.yaml"))
    assert not is_well
    assert "none.yaml" in page


def test_taken_ports_are_told_and_told_apart(tmp_path: Path) -> None:
    path = configure(tmp_path, {"url": "local"})
    config = json.loads(path.read_text())
    port = int(config["sip"]["listen"][0].rpartition(":")[2])
    control = int(config["control"]["listen"].rpartition(":")[2])

    async def main() -> tuple[bool, str]:
        udp = UdpSocket((HOST, port), lambda data, source: None)
        tcp = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, control)
        found = await check(path)
        udp.close()
        tcp.close()
        return found

    is_well, page = run(main())
    assert not is_well
    assert [line.partition(":")[0] for line in wrong(page)] == ["udp", "control port 127.0.0.1"]
    assert all("in use; is sipagent, or another telephone system, running already?" in line for line in wrong(page))
    assert f"tcp:{HOST}:{port} is free" in page


@pytest.mark.parametrize(
    ("days", "is_well", "words"),
    [(300, True, "server.pem: valid until 2"), (-3, False, "server.pem: valid until 2"), (None, False, "sip.tls.key:")],
)
def test_certificates(tmp_path: Path, days: int | None, is_well: bool, words: str) -> None:
    expires = datetime.fromtimestamp(time(), UTC) + timedelta(days=days or 300)
    authority = Authority(tmp_path)
    certificate, key = authority.issue(expires=expires)
    if days is None:
        key = authority.issue(stem="other")[1]
    sip = {
        "listen": [f"tls:{HOST}:{free_port()}"],
        "tls": {"certificate": str(certificate), "key": str(key)},
        "max_calls": 10,
    }
    found, page = run(check(configure(tmp_path, {"url": "local"}, {"sip": sip})))
    assert found is is_well
    assert words in (page if is_well else wrong(page)[0])


def test_a_tool_that_can_not_be_loaded_does_not_end_the_examination(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)

    async def main() -> tuple[bool, str]:
        model = make_model(api_key="right")
        await model.listen(HOST, 0)
        agent = {"engine": "model", "instructions": "Be brief.", "tools": ["tools.py:find", "tools.py:lost"]}
        engine = {"url": model.url, "api_key": "right", "transcription_model": None}
        found = await check(configure(tmp_path, engine, {"agents": {"agent": agent}}))
        await model.close()
        return found

    is_well, page = run(main())
    assert not is_well
    assert len(wrong(page)) == 1
    assert "tools.py:lost" in wrong(page)[0]
    assert "tool find" in page
    assert f"{HOST} answers, and takes our session with gpt-realtime-2.1" in page


@pytest.mark.parametrize(
    ("script", "key", "words"),
    [
        ("", "right", None),
        ("", "wrong", "refused the connection (401)"),
        ("refuse_handshake status=429", "right", "refused the connection (429)"),
        ("refuse_session code=insufficient_quota", "right", "The session was refused"),
        ("wrong_format", "right", "did not take our configuration"),
        ("slow_session seconds=30", "right", "did not send session.created within 1 s"),
    ],
)
def test_a_model_that_answers_in_its_way(tmp_path: Path, script: str, key: str, words: str | None) -> None:
    async def main() -> tuple[bool, str]:
        model = make_model(script, api_key="right")
        await model.listen(HOST, 0)
        engine = {"url": model.url, "api_key": key, "connect_timeout_s": 1}
        found = await check(configure(tmp_path, engine))
        await model.close()
        return found

    is_well, page = run(main())
    assert is_well is (words is None)
    assert words is None or (len(wrong(page)) == 1 and words in wrong(page)[0])
    assert "wrong key" not in page


@pytest.mark.parametrize(
    ("script", "words"),
    [("", None), ("refuse_session code=insufficient_quota", "was refused"), ("slow_session seconds=9", "not send")],
)
def test_a_live_model_that_answers_in_its_way(tmp_path: Path, script: str, words: str | None) -> None:
    async def main() -> tuple[bool, str]:
        model = make_model(script, api_key="right")
        await model.listen(HOST, 0)
        engine = {"dialect": "live", "url": model.live_url, "api_key": "right", "connect_timeout_s": 1}
        found = await check(configure(tmp_path, engine))
        await model.close()
        return found

    is_well, page = run(main())
    assert is_well is (words is None)
    assert (f"{HOST} answers, and takes our session with gpt-live-1" in page) is (words is None)
    assert words is None or (len(wrong(page)) == 1 and words in wrong(page)[0])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"ws://{HOST}:1/v1/realtime", "cannot be reached"),
        ("wss://no-such-host.invalid/v1/realtime", "no address for no-such-host.invalid"),
        (f"wss://{'a' * 64}.invalid/", "no address for"),
    ],
)
def test_a_model_that_is_not_there(tmp_path: Path, url: str, words: str) -> None:
    is_well, page = run(check(configure(tmp_path, {"url": url, "api_key": "k3y", "connect_timeout_s": 1})))
    assert not is_well
    assert len(wrong(page)) == 1
    assert words in wrong(page)[0]
    assert "k3y" not in page


def test_a_model_that_answers_in_markup(tmp_path: Path) -> None:
    async def main() -> tuple[bool, str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = b"[/bold] no [red]entry"
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        url = f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"
        found = await check(configure(tmp_path, {"url": url, "api_key": "k3y"}))
        server.close()
        return found

    is_well, page = run(main())
    assert not is_well
    assert "[/bold] no [red]entry" in page


@pytest.mark.parametrize(("address", "is_private"), [("192.168.1.5", True), ("203.0.114.7", False)])
def test_a_private_address_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, is_private: bool
) -> None:
    monkeypatch.setattr("sipagent.checkup.address_of_ours", lambda: address)
    is_well, page = run(check(configure(tmp_path, {"url": "local"})))
    assert is_well
    assert f"dial sip:agent@{address}" in page
    assert ("set sip.external_address" in page) is is_private
