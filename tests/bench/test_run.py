"""The bench at work: its parts on real sockets, and a small load from beginning to end."""

import asyncio
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from sipagent.bench.caller import STRANGERS, is_loud, make_script
from sipagent.bench.compiler import Tools, build_tools
from sipagent.bench.limit import judge_limit
from sipagent.bench.mark import AGENT, AGENT_BEGINS, CALLER, MARK_BYTES, make_mark, read_age
from sipagent.bench.media import Media, first_frame, open_media
from sipagent.bench.plan import Plan, share_processors
from sipagent.bench.rig import Kit, Rig
from sipagent.bench.speech import hiss, speak
from sipagent.errors import SipagentError
from sipagent.rtp.packet import HEADER_LENGTH, pack_packet

HOST = "127.0.0.1"
PATIENCE_S = 10.0
ANSWER = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0\r\n"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return build_tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def library(tools: Tools) -> Path:
    if tools.callers is None:
        pytest.skip(tools.missing)
    return tools.callers


def test_without_a_compiler_it_is_said(tmp_path: Path) -> None:
    tools = build_tools(tmp_path, compiler="no-such-compiler")
    assert (tools.limit, tools.callers) == (None, None)
    assert "no C compiler (no-such-compiler)" in tools.missing


def test_a_compiler_that_fails_is_said(tmp_path: Path) -> None:
    tools = build_tools(tmp_path, compiler="false")
    assert tools.limit is None
    assert "false failed" in tools.missing


# The callers


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    """The other side of a call."""
    with socket.socket(type=socket.SOCK_DGRAM) as agent:
        agent.bind((HOST, 0))
        agent.settimeout(PATIENCE_S)
        yield agent


def talk(media: Media, agent: socket.socket, number: int = 0) -> tuple[bytes, tuple[str, int]]:
    """Have a caller talk; return its first packet, and where it came from."""
    assert b"m=audio" in media.open(number)
    media.talk(number, ANSWER.format(HOST, agent.getsockname()[1]).encode())
    return agent.recvfrom(2048)


def test_callers_in_c_send_marked_frames_and_count_what_comes(library: Path, agent: socket.socket) -> None:
    media = open_media(library, capacity=4, host=HOST, marked=True, random=Random(1))
    try:
        packet, caller = talk(media, agent)
        assert len(packet) == HEADER_LENGTH + 160
        payload = packet[HEADER_LENGTH:]
        assert payload[0] == CALLER
        assert 0 <= read_age(payload[:MARK_BYTES], monotonic()) < PATIENCE_S
        assert payload[MARK_BYTES:] == make_script().frames[0]
        following = agent.recv(2048)
        assert struct.unpack("!H", following[2:4])[0] == (struct.unpack("!H", packet[2:4])[0] + 1) % 65536
        media.take(0)
        for number, kind in enumerate((AGENT_BEGINS, AGENT, 0xFF)):
            frame = make_mark(kind, monotonic()) + bytes(151)
            agent.sendto(pack_packet(0, 65_535 + number & 0xFFFF, 0, 7, frame), caller)
        agent.sendto(b"stray", caller)
        agent.sendto(pack_packet(0, 9_000, 0, 8, bytes(160)), caller)  # of another source
        figures = media.take(0)
        assert figures.sequence_numbers.tolist() == [65_535, 0, 1]
        assert [0 <= monotonic() - at < PATIENCE_S for at in figures.arrived_at] == [True] * 3
        assert (len(figures.first_delta), figures.strange) == (1, 2)
        assert 0 <= figures.first_delta[0] < PATIENCE_S
        assert len(media.take(0).arrived_at) == 0
    finally:
        media.stop()


def test_a_caller_in_c_that_is_closed_sends_no_more_and_its_number_is_free(library: Path, agent: socket.socket) -> None:
    media = open_media(library, capacity=2, host=HOST, marked=True, random=Random(1))
    try:
        _, caller = talk(media, agent, 1)
        media.close(1)
        packet, other = talk(media, agent, 1)
        while other == caller:
            packet, other = agent.recvfrom(2048)
        assert packet[HEADER_LENGTH] == CALLER
    finally:
        media.stop()


def test_callers_in_python_do_the_same(agent: socket.socket) -> None:
    async def play() -> None:
        media = open_media(None, capacity=4, host=HOST, marked=False, random=Random(1))
        try:
            loop = asyncio.get_running_loop()
            agent.setblocking(False)
            media.open(0)
            media.talk(0, ANSWER.format(HOST, agent.getsockname()[1]).encode())
            packet, caller = await asyncio.wait_for(loop.sock_recvfrom(agent, 2048), PATIENCE_S)
            assert packet[HEADER_LENGTH] == CALLER
            agent.sendto(pack_packet(0, 5, 0, 7, speak(0.02, pitch_hz=120, random=Random(1))), caller)
            figures = media.take(0)
            assert figures.sequence_numbers.tolist() == [5]
            assert figures.sent == 1
        finally:
            media.stop()

    asyncio.run(play())


def test_an_agent_without_marks_is_heard_by_its_level() -> None:
    assert is_loud(speak(0.02, pitch_hz=120, random=Random(1)))
    assert not is_loud(hiss(0.02, random=Random(1)))
    assert not is_loud(b"\xff\x7f" * 80)


def test_callers_are_spread_over_the_script_however_many_there_are() -> None:
    script = make_script()
    eighths = [len(script.frames) * number // 8 for number in range(8)]
    assert sorted(first_frame(script, number, 8) for number in range(8)) == eighths
    assert [first_frame(script, number, 2000) * 4 // len(script.frames) for number in range(4)] == [0, 2, 1, 3]
    assert first_frame(script, 0, 1) == 0


@pytest.mark.parametrize("is_native", [True, False])
def test_an_agent_may_change_its_source(*, is_native: bool, tools: Tools, agent: socket.socket) -> None:
    if is_native and tools.callers is None:
        pytest.skip(tools.missing)

    async def play() -> None:
        media = open_media(tools.callers if is_native else None, capacity=1, host=HOST, marked=False, random=Random(1))
        try:
            media.open(0)
            media.talk(0, ANSWER.format(HOST, agent.getsockname()[1]).encode())
            agent.setblocking(False)
            _, caller = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(agent, 2048), PATIENCE_S)
            agent.sendto(pack_packet(0, 7, 0, 1, bytes(160)), caller)
            for number in range(STRANGERS + 1):
                agent.sendto(pack_packet(0, 500 + number, 0, 2, bytes(160)), caller)
            figures = media.take(0)
            assert figures.sequence_numbers.tolist() == [7, 8, 9]
            assert figures.strange == STRANGERS - 1
        finally:
            media.stop()

    asyncio.run(play())


# The limit


def test_the_limit_does_what_it_is_to_do(tools: Tools) -> None:
    if tools.limit is None:
        pytest.skip(tools.missing)
    done = subprocess.run(
        [tools.limit, "4", "0.2", "0", "0", "0", "172", "271", "2300"], capture_output=True, check=True
    )
    counts = json.loads(done.stdout)
    assert counts["sent"] == 40  # its turns are counted, whatever time they take
    assert counts["packets"] == counts["appends"] > 0
    assert counts["user_us"] + counts["system_us"] > 0


def test_a_limit_that_missed_its_rate_says_nothing() -> None:
    counts = {"user_us": 1000, "system_us": 3000, "packets": 500, "sent": 500, "appends": 500}
    assert judge_limit(counts, 10.0) == 400
    with pytest.raises(SipagentError, match=r"packets 40\.0"):
        judge_limit(counts | {"packets": 400}, 10.0)


# The whole


@pytest.mark.parametrize("plan", [Plan(vad="energy"), Plan(vad="energy", tls=True)], ids=["plain", "tls"])
def test_a_small_load_is_measured(plan: Plan, tools: Tools, tmp_path: Path) -> None:
    if plan.tls:
        pytest.importorskip("cryptography", reason="the certificate takes cryptography, the extra `webrtc`")
    callers = tools if plan.tls else Tools(None, None)  # in Python once, in C once
    with Rig(plan, Kit(share_processors(), tmp_path, callers), progress=lambda *_: None) as rig:
        assert len(rig.resize(2).answer) == 2
        found = rig.measure(1.0)
        assert rig.resize(1).failed == ()
    assert found.ended == ()
    assert found.packets > 0
    assert found.strange == 0
    assert found.cpu_us is not None
    assert found.cpu_us > 0
    assert found.packet_to_message is not None
    assert found.rates.appends is not None
    assert found.rates.appends > 0
    assert found.answer is not None
    assert found.answer.count == 2
