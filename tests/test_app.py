import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from connections import Authority
from loopback import HOST, WITHIN_S, Caller, RawUdp, make_model, options, run_clean, until, within
from program import Server, free_port
from sim.registrar import Registrar, password_of

from sipagent.aio import breaker, loop, service
from sipagent.aio.udp import UdpSocket
from sipagent.app import Application
from sipagent.call.admission import Load
from sipagent.config import Config, EngineConfig, load
from sipagent.config.values import Secret, ToolReference
from sipagent.engines import make_engine
from sipagent.errors import SipagentError
from sipagent.sip.events import Accepted, Ended
from sipagent.sip.message import Response
from sipagent.toolbox import load_tool

TOOLS = """
from sipagent import tool

@tool
def find(name: str) -> str:
    "Finds."
    return name

plain = 3
"""


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return run_clean(loop.run, main)


def configure(folder: Path, url: str, settings: Mapping[str, Any] | None = None) -> Config:
    """A configuration on free ports, its engine at ``url``."""
    port = free_port()
    usual: dict[str, Any] = {
        "sip": {"listen": [f"udp:{HOST}:{port}", f"tcp:{HOST}:{port}"], "max_calls": 10},
        "rtp": {"ports": "20000-27999"},
        "lines": [{"name": "main", "agent": "agent"}],
        "agents": {"agent": {"engine": "model", "instructions": "Be brief."}},
        "engines": {"model": {"url": url, "api_key": "right", "connect_timeout_s": 2}},
        "control": {"listen": f"{HOST}:{free_port()}"},
        "recording": {"directory": str(folder / "recordings")},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps({**usual, **(settings or {})}))  # JSON is YAML
    return load(path)


@asynccontextmanager
async def started(config: Config) -> AsyncIterator[Application]:
    application = Application(config)
    await application.start()
    try:
        yield application
    finally:
        await within(application.stop())


async def get(config: Config, page: str) -> tuple[int, str]:
    address = config.control.listen
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address.host}:{address.port}/{page}") as response,
    ):
        return response.status, await response.text()


async def dialled(config: Config) -> Caller:
    caller = await Caller().open()
    caller.invite(config.sip.listen[0].port)
    return caller


def test_lines_register_with_the_service_and_say_goodbye_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        registrar, received = Registrar(granted_s=300), []

        def receive(data: bytes, source: tuple[str, int]) -> None:
            received.append(data)
            socket.send(registrar.receive(data, asyncio.get_running_loop().time()) or b"", source)

        socket = UdpSocket((HOST, 0), receive)
        pbx = f"{HOST}:{socket.address[1]}"
        line = {"name": "main", "agent": "agent", "domain": pbx, "user": "7", "password": password_of("7")}
        model = make_model()
        await model.listen(HOST, 0)
        config = configure(tmp_path, model.url, {"lines": [line]})

        def bound() -> int:
            return registrar.bound(asyncio.get_running_loop().time())

        async with started(config) as application:
            await until(lambda: application.endpoint.agent.registrations == 1, what=lambda: received)
            assert bound() == 1
            assert "sipagent_registered_lines 1.0" in (await get(config, "metrics"))[1]
        assert bound() == 0
        assert b"Expires: 0" in received[-1]
        socket.close()
        await model.close()

    run(main())


def test_a_process_that_is_pressed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = [Load(0.0, 0, 0)]

    def load_of(ticker: object) -> Load:
        """A process of which every beat is late."""
        loads.append(Load(0.0, loads[-1].beats + 100, loads[-1].beats + 100))
        return loads[-1]

    monkeypatch.setattr(service, "load_of", load_of)

    async def main() -> None:
        model = make_model(api_key="right")
        await model.listen(HOST, 0)
        config = configure(tmp_path, model.url, {"sip": {"listen": [f"udp:{HOST}:{free_port()}"], "max_calls": "auto"}})
        async with started(config):
            assert await get(config, "ready") == (200, '{"ready": true, "reasons": []}')
            caller = await dialled(config)
            await caller.expect(Accepted)
            while (await get(config, "ready"))[0] == 200:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.05)
            reasons = json.loads((await get(config, "ready"))[1])["reasons"]
            assert re.fullmatch(r"too busy: \d+% of the packets of 1 calls leave late", reasons[0])
            assert (await get(config, "health"))[0] == 200
            another = await dialled(config)
            assert (await another.expect(Ended)).status == 503
            await another.close()
            port = config.sip.listen[0].port
            pbx = RawUdp()
            pbx.send(options(port), port)
            answer = await pbx.receive()
            assert isinstance(answer, Response)
            assert answer.status == 503
            pbx.close()
            page = (await get(config, "metrics"))[1]
            assert "sipagent_admission_open 0.0" in page
            assert 'sipagent_admission_refused_total{reason="late"} 1.0' in page
            caller.hang_up()
            await caller.expect(Ended)
            await caller.close()
        await model.close()

    run(main())


def test_a_wrong_key_makes_it_unready_and_a_right_one_ready_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PROBE_S", 0.2)

    async def main() -> None:
        model = make_model(api_key="another")
        await model.listen(HOST, 0)
        config = load_config(model.url)
        async with started(config):
            assert await get(config, "health") == (200, '{"status": "ok"}')
            assert await get(config, "ready") == (200, '{"ready": true, "reasons": []}')
            caller = await dialled(config)
            ended = await caller.expect(Ended)
            assert ended.status == 503
            await caller.close()
            status, text = await get(config, "ready")
            assert status == 503
            assert "Incorrect API key" in text
            assert "right" not in text
            port = model.port
            await model.close()
            model = make_model(api_key="right")
            await model.listen(HOST, port)
            while (await get(config, "ready"))[0] != 200:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.05)
            caller = await dialled(config)
            await caller.expect(Accepted)
            assert (await get(config, "health"))[0] == 200
            status, page = await get(config, "metrics")
            assert status == 200
            assert "sipagent_active_calls 1.0" in page
            assert 'sipagent_model_failures_total{kind="fatal"} 1.0' in page
            assert 'sipagent_calls_total{outcome="rejected_503"} 1.0' in page
            caller.hang_up()
            await until(lambda: caller.endpoint.agent.is_idle)
            await caller.close()
        await model.close()

    def load_config(url: str) -> Config:
        return configure(tmp_path, url)

    run(main())


@pytest.mark.parametrize("which", ["udp", "tcp", "control port"])
def test_a_port_that_is_taken_is_named_and_nothing_stays_open(tmp_path: Path, which: str) -> None:
    config = configure(tmp_path, f"ws://{HOST}:1/v1/realtime")

    async def main() -> None:
        listener = config.control.listen if which == "control port" else config.sip.listen[0]
        if which == "udp":
            other = UdpSocket((HOST, listener.port), lambda data, source: None)
        else:
            server = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, listener.port)
        with pytest.raises(SipagentError, match=f"can't listen on {which}.*{listener.port}: .*in use"):
            await Application(config).start()
        if which == "udp":
            other.close()
        else:
            server.close()
        async with started(config):  # what was opened before it failed is closed again
            pass

    run(main())


def test_a_tool_that_is_none_ends_the_embedded_model_as_well(tmp_path: Path) -> None:
    agents = {"agent": {"engine": "model", "instructions": "Be brief.", "tools": ["sipagent.app:LOCAL"]}}
    config = configure(tmp_path, "local", {"agents": agents})

    async def main() -> None:
        with pytest.raises(SipagentError, match="expected a function decorated with @tool"):
            await Application(config).start()

    run(main())


def test_without_a_key_the_embedded_model_answers(tmp_path: Path) -> None:
    config = configure(tmp_path, "local")

    async def main() -> None:
        async with started(config):
            caller = await dialled(config)
            await caller.expect(Accepted)
            caller.hang_up()
            await until(lambda: caller.endpoint.agent.is_idle)
            await caller.close()

    run(main())


@pytest.mark.parametrize(
    ("listen", "external", "host", "uri"),
    [
        ("udp:0.0.0.0:5060", None, HOST, "sip:agent@127.0.0.1"),
        ("udp:0.0.0.0:5070", None, HOST, "sip:agent@127.0.0.1:5070"),
        ("tcp:192.0.2.3:5060", None, None, "sip:agent@192.0.2.3;transport=tcp"),
        ("udp:0.0.0.0:5060", "203.0.113.7", None, "sip:agent@203.0.113.7"),
    ],
)
def test_what_to_dial(tmp_path: Path, listen: str, external: str | None, host: str | None, uri: str) -> None:
    sip = {"listen": [listen], "external_address": external, "max_calls": 10}
    assert str(Application(configure(tmp_path, "local", {"sip": sip})).uri(host)) == uri


def test_an_engine_of_a_configuration() -> None:
    config = EngineConfig(url="wss://models.example/v1/realtime?zone=eu", model="a model", api_key=Secret("s3cret"))
    engine = make_engine(config)
    assert engine.url == "wss://models.example/v1/realtime?zone=eu&model=a+model"
    assert engine.headers == {"Authorization": "Bearer s3cret"}
    assert engine.tls is not None
    assert "s3cret" not in repr(engine)
    local = make_engine(config, url="ws://127.0.0.1:9/v1/realtime")
    assert (local.url, dict(local.headers), local.tls) == ("ws://127.0.0.1:9/v1/realtime?model=a+model", {}, None)


def test_tools_are_found(tmp_path: Path) -> None:
    file = tmp_path / "tools.py"
    file.write_text(TOOLS)
    assert load_tool(ToolReference("hang_up")).name == "hang_up"
    assert load_tool(ToolReference("find", file=file)).name == "find"


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (TOOLS, "plain", "expected a function decorated with @tool"),
        (TOOLS, "absent", "AttributeError"),
        ("raise KeyError('a [/bold] bug')", "find", "KeyError"),
        ("def broken(", "find", "SyntaxError"),
        (None, "find", "FileNotFoundError"),
    ],
)
def test_tools_that_can_not_be_loaded(tmp_path: Path, text: str | None, name: str, words: str) -> None:
    file = tmp_path / "tools.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SipagentError, match=words):
        load_tool(ToolReference(name, file=file))
    with pytest.raises(SipagentError, match="ModuleNotFoundError"):
        load_tool(ToolReference("find", module="no.such.module"))


def secured(folder: Path, url: str) -> tuple[Authority, Config]:
    """A configuration that listens by TLS and WSS."""
    authority = Authority(folder)
    certificate, key = authority.issue()
    listen = [f"tls:{HOST}:{free_port()}", f"wss:{HOST}:{free_port()}"]
    tls = {"certificate": str(certificate), "key": str(key), "ca": str(authority.file)}
    return authority, configure(folder, url, {"sip": {"listen": listen, "tls": tls}})


def test_calls_by_tls_and_wss(tmp_path: Path) -> None:
    async def main() -> None:
        model = make_model()
        await model.listen(HOST, 0)
        authority, config = secured(tmp_path, model.url)
        async with started(config) as application:
            assert str(application.uri()) == f"sip:agent@{HOST}:{config.sip.listen[0].port};transport=tls"
            for listener in config.sip.listen:
                caller = Caller(tls=authority.tls())
                caller.invite(listener.port, transport=listener.transport)
                accepted = await caller.expect(Accepted)
                assert accepted.response.contact is not None
                assert accepted.response.contact.uri.port == listener.port
                await until(lambda caller=caller: caller.packets)
                caller.hang_up()
                await caller.endpoint.settle()
                await caller.close()
            await until(lambda: application.service.calls == 0)
        await model.close()

    run(main())


def test_certificates_that_do_not_serve_are_told_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        authority, config = secured(tmp_path, "local")
        authority.issue(stem="other")[1].replace(tmp_path / "server.key")
        with pytest.raises(SipagentError, match=r"sip\.tls\.key: .*server\.key: not the key of the certificate in"):
            await Application(config).start()

    run(main())


def test_sighup_has_certificates_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        _, config = secured(tmp_path, "local")
        async with started(config) as application:
            running = asyncio.get_running_loop().create_task(application.run())
            await asyncio.sleep(0)
            context = application._tls.server()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: application._tls.server() is not context)
            os.kill(os.getpid(), signal.SIGTERM)
            await within(running)

    run(main())


def wait_for(server: Server, event: str) -> None:
    server.wait_for(lambda entry: entry["event"] == event, timeout_s=WITHIN_S)


def test_sigterm_lets_a_call_end_in_peace(tmp_path: Path) -> None:
    async def main() -> None:
        with await asyncio.to_thread(Server, tmp_path) as server:
            async with Caller() as caller, Caller() as late:
                caller.invite(server.sip_port)
                await caller.expect(Accepted)
                server.terminate()
                await asyncio.to_thread(wait_for, server, "draining")
                late.invite(server.sip_port)
                assert (await late.expect(Ended)).status == 503
                heard = len(caller.packets)
                await until(lambda: len(caller.packets) > heard + 10)
                caller.hang_up()
                await asyncio.to_thread(wait_for, server, "stopped")

    run(main())


def test_no_audio_is_in_the_log_of_a_call_even_at_its_most_talkative(tmp_path: Path) -> None:
    async def main() -> None:
        with await asyncio.to_thread(Server, tmp_path) as server:
            async with Caller() as caller:
                caller.invite(server.sip_port)
                await caller.expect(Accepted)
                await until(lambda: len(caller.packets) > 50)
                caller.hang_up()
                await asyncio.to_thread(wait_for, server, "ended")
            entries = server.entries
            assert "debug" in {entry["level"] for entry in entries}
            assert max(map(len, re.findall(r"[A-Za-z0-9+/=]+", json.dumps(entries)))) < 100

    run(main())


def test_a_second_signal_ends_the_call_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        with await asyncio.to_thread(Server, tmp_path) as server:
            async with Caller() as caller:
                caller.invite(server.sip_port)
                await caller.expect(Accepted)
                server.terminate()
                await asyncio.to_thread(wait_for, server, "draining")
                assert await asyncio.to_thread(server.stop) == 0
                assert (await caller.expect(Ended)).reason == "bye"
                assert not [entry for entry in server.entries if entry["level"] == "error"]

    run(main())
