"""The program with two workers: who has which call, what a death costs, and what is the same as with one."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from time import time
from typing import Any

import pytest
from ending import wait_or_kill
from loopback import HOST, Caller, run_clean, until
from program import ROOT, Entry, Server, free_port

from sipagent.aio import loop
from sipagent.sip.events import Accepted, Acknowledged, Ended, IncomingInvite
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

CALLS = int(os.environ.get("WORKER_CALLS", "8"))
"""In the test of a death; 100 are what was promised."""

BYE_S = 2.0
"""For the BYEs of a dead worker's calls; they go out within milliseconds."""

LOG_S = 10.0


def run(main: Any) -> Any:
    return run_clean(loop.run, main)


def two(folder: Path, settings: dict[str, Any] | None = None) -> Server:
    return Server(folder, {"workers": 2, "log": {"level": "info"}, **(settings or {})})


@asynccontextmanager
async def callers(server: Server, count: int) -> AsyncIterator[list[Caller]]:
    """So many who were answered, one after the other."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            caller = await stack.enter_async_context(Caller())
            await answer(caller, server)
            made.append(caller)
        yield made


async def answer(caller: Caller, server: Server) -> None:
    caller.invite(server.sip_port)
    await caller.expect(Accepted)


def hears(caller: Caller, packets: int = 25) -> Any:
    """Wait until so many more packets have come."""
    already = len(caller.packets)
    return until(lambda: len(caller.packets) >= already + packets)


def missing(caller: Caller) -> int:
    """How many packets of the agent's between its first and its last did not come, or came twice.

    Others may send to this port, too: a machine that runs several tests gives it to one after the other.
    """
    (ssrc, _), *_ = Counter(packet[8:12] for packet in caller.packets).most_common(1)
    numbers = [int.from_bytes(packet[2:4], "big") for packet in caller.packets if packet[8:12] == ssrc]
    return sum((later - sooner) % 65_536 != 1 for sooner, later in pairwise(numbers))


def find(server: Server, event: str, **fields: object) -> list[Entry]:
    """The entries of a kind with these fields."""
    return [
        entry
        for entry in server.entries
        if entry["event"] == event and all(entry.get(name) == value for name, value in fields.items())
    ]


async def logged(server: Server, event: str, count: int = 1, **fields: object) -> list[Entry]:
    """The same, once there are so many."""
    await until(lambda: len(find(server, event, **fields)) >= count, within_s=LOG_S, what=lambda: server.entries[-20:])
    return find(server, event, **fields)


async def metrics(server: Server) -> dict[str, float]:
    return await asyncio.to_thread(server.metrics)


def post(server: Server, page: str, order: dict[str, Any]) -> tuple[int, Any]:
    connection = HTTPConnection(HOST, server.control_port, timeout=5)
    try:
        connection.request("POST", page, json.dumps(order), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def clean(server: Server) -> list[Entry]:
    """What is in the log of a run and should not be."""
    return [entry for entry in server.entries if entry["level"] in ("error", "critical")]


def test_a_worker_that_is_killed_costs_its_own_calls(tmp_path: Path) -> None:
    async def main() -> None:
        async with callers(server, CALLS) as all_callers:
            workers = [entry["worker"] for entry in await logged(server, "answered", CALLS)]
            assert Counter(workers) == {1: CALLS // 2, 2: CALLS // 2}
            await asyncio.gather(*map(hears, all_callers))
            before = await metrics(server)
            assert before["sipagent_workers"] == 2
            assert before["sipagent_active_calls"] == CALLS
            assert before["sipagent_invite_to_ok_seconds_count"] == CALLS

            (victim,) = find(server, "worker_ready", worker=2)
            killed_at = time()
            os.kill(victim["pid"], signal.SIGKILL)
            died = await logged(server, "ended", CALLS // 2, reason="worker_died")
            lost = [caller for caller in all_callers if not caller.events.empty()]
            assert len(lost) == CALLS // 2
            for caller in lost:
                assert (await caller.expect(Ended)).reason == "bye"
            assert {entry["call"] for entry in died} == {entry["call"] for entry in find(server, "answered", worker=2)}
            assert all(entry["media"] is None and entry["duration_s"] > 0 for entry in died)
            ended_at = [datetime.fromisoformat(entry["time"]).timestamp() for entry in died]
            assert max(ended_at) < killed_at + BYE_S
            (note,) = await logged(server, "worker_died")
            assert (note["worker"], note["pid"], note["how"]) == (2, victim["pid"], "SIGKILL")
            assert note["calls_lost"] == CALLS // 2

            await logged(server, "worker_ready", 2, worker=2)
            others = [caller for caller in all_callers if caller not in lost]
            await asyncio.gather(*map(hears, others))
            for caller in others:
                assert caller.events.empty()
                assert missing(caller) == 0
            after = await metrics(server)
            assert (after["sipagent_workers"], after["sipagent_worker_deaths_total"]) == (2, 1)
            assert after["sipagent_active_calls"] == CALLS // 2
            assert after["sipagent_invite_to_ok_seconds_count"] == CALLS, "what the dead counted is not forgotten"
            assert after['sipagent_calls_total{outcome="worker_died"}'] == CALLS // 2

            for caller in lost:  # they call again
                await answer(caller, server)
            await asyncio.gather(*map(hears, all_callers))
            assert len(find(server, "answered", worker=2)) == CALLS, "all of them by the new one"
            for caller in all_callers:
                caller.hang_up()
            await logged(server, "ended", CALLS, reason="bye")
            last = await metrics(server)
            assert last["sipagent_active_calls"] == 0
            assert last["sipagent_invite_to_ok_seconds_count"] == CALLS + CALLS // 2
            assert last['sipagent_calls_total{outcome="bye"}'] == CALLS

    with two(tmp_path, {"sip": {"safety": {"rate": 10_000}}}) as server:
        run(main())
        assert server.stop() == 0
    assert {entry["event"] for entry in clean(server)} == {"worker_died"}


def test_somebody_whom_nobody_has_answered_yet_is_told_as_well(tmp_path: Path) -> None:
    async def main() -> None:
        async with Caller() as caller:
            caller.invite(server.sip_port)
            (invited,) = await logged(server, "invited")
            (victim,) = find(server, "worker_ready", worker=invited["worker"])
            os.kill(victim["pid"], signal.SIGKILL)
            ended = await caller.expect(Ended)
            assert (ended.reason, ended.status) == ("rejected", 503), "a PBX that has another may try that one"
            (lost,) = await logged(server, "ended", call=invited["call"])
            assert (lost["reason"], lost["duration_s"]) == ("worker_died", 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        silent = free_port()
        with two(tmp_path, {"engines": {"model": {"url": f"ws://{HOST}:{silent}/", "api_key": "any"}}}) as server:
            run(_with_mute_model(silent, main))


async def _with_mute_model(port: int, main: Any) -> None:
    """Beside a server that takes connections and says nothing."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other end is gone
        writer.close()

    model = await asyncio.start_server(mute, HOST, port)
    try:
        await main()
    finally:
        model.close()
        await model.wait_closed()


def test_two_deaths_leave_nobody_and_then_two_again(tmp_path: Path) -> None:
    async def main() -> None:
        for entry in find(server, "worker_ready"):
            os.kill(entry["pid"], signal.SIGKILL)
        await logged(server, "worker_died", 2)
        await logged(server, "worker_ready", 4)
        async with callers(server, 2) as both:
            for caller in both:
                await hears(caller)
                caller.hang_up()
            await logged(server, "ended", 2)

    with two(tmp_path) as server:
        run(main())
        assert server.stop() == 0


def test_draining_lets_the_calls_of_all_workers_end_in_peace(tmp_path: Path) -> None:
    async def main() -> None:
        async with callers(server, 2) as both, Caller() as late:
            assert {entry["worker"] for entry in await logged(server, "answered", 2)} == {1, 2}
            for pid in pids:  # a service manager tells all processes
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGINT)
            server.terminate()
            assert (await logged(server, "draining"))[0]["calls"] == 2
            late.invite(server.sip_port)
            assert (await late.expect(Ended)).status == 503
            for caller in both:
                await hears(caller)
                caller.hang_up()
            await asyncio.to_thread(server._process.wait, 15.0)

    with two(tmp_path) as server:
        pids = [entry["pid"] for entry in find(server, "worker_ready")]
        run(main())
        assert server.stop() == 0
    assert clean(server) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_nobody_outlives_a_front_that_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        async with callers(server, 2) as both:
            for caller in both:
                await hears(caller)
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))

    with two(tmp_path) as server:
        pids = [entry["pid"] for entry in find(server, "worker_ready")]
        run(main())
        assert server.stop() == -signal.SIGKILL


def test_calls_that_we_make_and_their_recordings(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            pbx = await stack.enter_async_context(Caller())
            await pbx.endpoint.listen("UDP", (HOST, port))
            ids: list[str] = []
            handles: dict[str, int] = {}
            for extension in ("200", "201"):
                ids.append(await asyncio.to_thread(server.place_call, "main", extension))
                invite = await pbx.expect(IncomingInvite)
                assert invite.request.uri.user == extension
                handles[ids[-1]] = invite.handle
                pbx.endpoint.command(pbx.endpoint.agent.accept, invite.handle, pbx.offer())
                await pbx.expect(Acknowledged)
                await logged(server, "answered", call=ids[-1])
            assert {find(server, "answered", call=each)[0]["worker"] for each in ids} == {1, 2}
            await hears(pbx)
            for call_id in ids:
                page = f"/calls/{call_id}/recording"
                assert await asyncio.to_thread(post, server, page, {"action": "pause"}) == (
                    200,
                    {"recording": "paused"},
                )
                await logged(server, "recording_paused", call=call_id)
                assert (await asyncio.to_thread(post, server, page, {"action": "resume"}))[0] == 200
            status, said = await asyncio.to_thread(post, server, "/calls/nobody/recording", {"action": "pause"})
            assert (status, "no call nobody" in said["error"]) == (409, True)
            status, said = await asyncio.to_thread(
                post, server, "/calls", {"line": "main", "to": "sip:1@no.such.invalid"}
            )
            assert status == 409
            os.kill(find(server, "worker_ready", worker=1)[0]["pid"], signal.SIGKILL)
            ended = await pbx.expect(Ended)
            assert ended.reason == "bye", "a call of ours is told as well"
            (lost,) = await logged(server, "ended", reason="worker_died")
            (left,) = set(ids) - {lost["call"]}
            pbx.endpoint.command(pbx.endpoint.agent.hang_up, handles[left])
            await logged(server, "ended", call=left, reason="bye")
            return str(left)

    port = free_port()
    line = {"name": "main", "agent": "tested", "domain": f"{HOST}:{port}", "register": False}
    with two(tmp_path, {"lines": [line], "agents": {"tested": {"record": True}}}) as server:
        left = run(main())
        assert server.stop() == 0
        assert [file.stem.partition("-")[2] for file in server.recordings.iterdir() if left in file.name] == [left]


def test_another_dialog_in_the_place_of_one_goes_to_the_worker_of_its_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with callers(server, 3) as (left, first, right), Caller() as second:
            session: Any = first.endpoint.agent._sessions.get(first.handle)
            call_id, ours, theirs = session.dialog.id
            replaces = [("Replaces", f"{call_id};to-tag={theirs};from-tag={ours}")]
            flow = second.endpoint.flow_to("UDP", (HOST, server.sip_port))
            target = Uri("sip", "agent", host=HOST, port=server.sip_port)
            caller = NameAddr.parse(f"<sip:boss@{HOST}>")

            def dial(*, now: float) -> None:
                second.handle = second.endpoint.agent.invite(
                    target, flow, from_=caller, body=second.offer(), headers=replaces, now=now
                )

            second.endpoint.command(dial)
            await second.expect(Accepted)
            assert (await first.expect(Ended)).reason == "bye"
            await hears(second)
            (replaced,) = await logged(server, "replaced")
            assert replaced["worker"] == 2, "who had the second call"
            assert find(server, "ended") == []
            second.hang_up()
            assert (await logged(server, "ended"))[0]["call"] == replaced["call"]
            left.hang_up()
            right.hang_up()
            await logged(server, "ended", 3)

    with two(tmp_path) as server:
        run(main())
        assert server.stop() == 0
    assert clean(server) == []


SCRIPT = """
import os
from pathlib import Path
from sipagent import Agent, serve

def make():
    folder = Path({folder!r})  # what only a fork can have: closures

    async def follow(call):
        (folder / call.id).write_text(str(os.getpid()))

    agent = Agent(instructions="Be brief.", greeting=lambda call: f"Greet process {{os.getpid()}} of {{folder.name}}.")
    return agent, follow

agent, follow = make()
serve(agent, config={config!r}, on_call=follow)
"""


def test_agents_and_programs_in_python_are_in_the_workers(tmp_path: Path) -> None:
    calls, script, config = tmp_path / "calls", tmp_path / "script.py", tmp_path / "config.yaml"
    calls.mkdir()
    sip, control = free_port(), free_port()
    settings = {
        "workers": 2,
        "sip": {"listen": [f"udp:{HOST}:{sip}"]},
        "rtp": {"ports": "20000-29999"},
        "engines": {"openai": {"url": "local"}},
        "control": {"listen": f"{HOST}:{control}"},
        "log": {"format": "json"},
    }
    config.write_text(json.dumps(settings))
    script.write_text(SCRIPT.format(folder=str(calls), config=str(config)))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                caller = await stack.enter_async_context(Caller())
                caller.invite(sip)
                await caller.expect(Accepted)
                await hears(caller)
                stack.callback(caller.hang_up)
            await until(lambda: len(list(calls.iterdir())) == 2)

    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr:
        start = []
        for line in iter(process.stderr.readline, ""):
            start.append(line)
            if '"ready"' in line:
                break
        run(main())
        process.send_signal(signal.SIGINT)
        log = "".join(start) + process.stderr.read()
    assert wait_or_kill(process, 15.0) == 0, log
    pids = {file.read_text() for file in calls.iterdir()}
    assert pids == set(re.findall(r'"worker_ready", "worker": \d, "pid": (\d+)', log))
    assert len(pids) == 2
    assert str(process.pid) not in pids


def test_a_tool_that_can_not_be_loaded_is_told_and_ends_it(tmp_path: Path) -> None:
    settings = {
        "workers": 2,
        "sip": {"listen": [f"udp:{HOST}:{free_port()}"]},
        "lines": [{"name": "main", "agent": "tested"}],
        "agents": {"tested": {"engine": "model", "instructions": "Be brief.", "tools": ["sipagent.app:LOCAL"]}},
        "engines": {"model": {"url": "local"}},
        "control": {"listen": f"{HOST}:{free_port()}"},
    }
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "run", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "expected a function decorated with @tool" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
