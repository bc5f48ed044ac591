import asyncio
import itertools
from itertools import pairwise
from pathlib import Path
from struct import pack, unpack

import pytest
from loopback import HOST, Caller, Clean, RawUdp, options, until, within
from serving import ACCOUNT, serving

from sipagent.aio import gate, service
from sipagent.aio.ticker import Ticker
from sipagent.aio.udp import UdpSocket
from sipagent.call import admission, events
from sipagent.call.admission import Load
from sipagent.call.call import Call
from sipagent.errors import SipagentError
from sipagent.sip.events import Acknowledged, Ended, IncomingInvite, ReinviteRejected, UpdateAccepted
from sipagent.sip.message import Response
from sipagent.sip.uri import Uri

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def speech(number: int) -> bytes:
    """A packet of 20 ms that nobody takes for silence."""
    return pack("!BBHII", 0x80, 0, number, 160 * number, 0x5EED) + (b"\x8f" * 40 + b"\x0f" * 40) * 2


def test_one_call_too_many(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, max_calls=2) as world:
            first, _ = await world.answered(), await world.answered()
            peer = RawUdp()
            peer.send(options(world.port).replace(b"OPTIONS", b"INVITE"), world.port)
            trying, response = await peer.receive(), await peer.receive()
            assert isinstance(trying, Response)
            assert isinstance(response, Response)
            assert (trying.status, response.status) == (100, 503)
            assert int(response.headers.get("Retry-After") or 0) > 0
            assert (await world.refused())[0].status == 503
            assert world.service.refused == 2
            first.hang_up()
            await world.over()
            await world.answered()
            peer.close()

    run(main())


def test_exactly_as_many_calls_as_there_may_be_however_many_come_at_once(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, max_calls=7) as world:
            peer = RawUdp()
            for number in range(60):
                peer.send(options(world.port, branch=f"call{number}").replace(b"OPTIONS", b"INVITE"), world.port)
            refused, rung = set(), set()
            while len(refused) + len(rung) < 60:
                response = await peer.receive()
                assert isinstance(response, Response)
                if response.status == 503:
                    assert int(response.headers.get("Retry-After") or 0) > 0
                    refused.add(response.call_id)
                elif response.status > 100:
                    rung.add(response.call_id)
            assert (len(rung), len(refused)) == (7, 53)
            assert (world.service.calls, world.service.refused) == (7, 53)
            peer.close()

    run(main())


def pressed_for_a_while(monkeypatch: pytest.MonkeyPatch, late: list[float]) -> None:
    """Have this process seem to make that share of its beats late; and have the news settle soon."""
    beats = itertools.count(100, 100)

    def load_of(ticker: object) -> Load:
        load_of.late += round(100 * late[0])
        return Load(0.0, next(beats), load_of.late)

    load_of.late = 0
    monkeypatch.setattr(service, "load_of", load_of)
    monkeypatch.setattr(admission, "SMOOTHING_S", 0.05)
    monkeypatch.setattr(admission, "SETTLING_S", 0.4)


def test_a_process_that_is_pressed_takes_no_more_and_those_in_it_keep_their_sound(
    run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [0.0]
    pressed_for_a_while(monkeypatch, late)

    async def main() -> None:
        async with serving(tmp_path, max_calls=100, by_health=True) as world:
            first = await world.answered()
            await world.answered()
            assert world.service.judge().refusal is None
            late[0] = 0.5
            await until(lambda: world.service.judge().refusal == "late")
            peer = RawUdp()
            for number in range(20):
                peer.send(options(world.port, branch=f"call{number}").replace(b"OPTIONS", b"INVITE"), world.port)
            refused = 0
            while refused < 20:
                response = await peer.receive()
                assert isinstance(response, Response)
                assert response.status in (100, 503)
                refused += response.status == 503
                assert response.status == 100 or int(response.headers.get("Retry-After") or 0) > 0
            with pytest.raises(SipagentError, match="of the packets of 2 calls leave late"):
                await world.service.dial("main", Uri.parse(f"sip:200@{HOST}"))
            assert (world.service.calls, world.service.refusals) == (2, {"late": 20})
            heard = len(first.packets)
            await until(lambda: len(first.packets) >= heard + 10)
            numbers = [unpack("!H", packet[2:4])[0] for packet in first.packets]
            assert [after - before & 0xFFFF for before, after in pairwise(numbers)] == [1] * (len(numbers) - 1)
            late[0] = 0.0
            await until(lambda: world.service.judge().refusal is None)
            await world.answered()
            assert [verdict.refusal for verdict in world.pressed] == ["late", None]
            peer.close()

    run(main())


def test_the_load_is_looked_at_only_while_somebody_calls(
    run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Load] = []

    def load_of(ticker: Ticker) -> Load:
        looks.append(gate.load_of(ticker))
        return looks[-1]

    monkeypatch.setattr(service, "load_of", load_of)
    monkeypatch.setattr(gate, "LOOK_S", 0.01)

    async def main() -> None:
        async with serving(tmp_path, by_health=True) as world:
            assert world.service.judge().refusal is None
            assert looks == []
            caller = await world.answered()
            await until(lambda: len(looks) > 5)
            assert looks[-1].cpu_s > looks[0].cpu_s
            assert looks[-1].beats > looks[0].beats
            caller.hang_up()
            await world.over()
            await until(lambda: not world.service._gate.is_looking)

    run(main())


def test_no_port_is_left(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        with_port = UdpSocket((HOST, 0), lambda data, source: None)
        first = with_port.address[1] & ~1
        async with serving(tmp_path, ports=(first, first + 1)) as world:
            ended, _ = await world.refused()
            assert (ended.status, world.service.refusals) == (503, {"ports": 1})
            with_port.close()
            await until(lambda: _are_free(first))
            await world.answered()

    def _are_free(first: int) -> bool:
        try:
            for port in (first, first + 1):
                UdpSocket((HOST, port), lambda data, source: None).close()
        except OSError:
            return False
        return True

    run(main())


@pytest.mark.parametrize("where", ["the call's first input", "making the call"])
def test_a_bug_before_the_call_is_up(run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("a bug")

    async def main() -> None:
        async with serving(tmp_path) as world:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Call, "receive_invite" if where == "the call's first input" else "__init__", fail)
                ended, _ = await world.refused()
            assert ended.status in (480, 500)
            assert [str(error) for error in world.ledger.crashes] == ["a bug"]
            assert world.service.calls == 0
            await world.answered()

    run(main())


def test_draining(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            caller = await world.answered()
            draining = asyncio.get_running_loop().create_task(world.service.drain(timeout_s=60.0))
            await asyncio.sleep(0)
            assert (await world.refused())[0].status == 503
            peer = RawUdp()
            peer.send(options(world.port), world.port)
            response = await peer.receive()
            assert isinstance(response, Response)
            assert response.status == 503
            heard = len(caller.packets)
            await until(lambda: len(caller.packets) > heard + 5)
            assert not draining.done(), "who is there may go on"
            caller.hang_up()
            await within(draining)
            peer.close()

    run(main())


def test_draining_has_an_end(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, greeting=None) as world:
            caller = await world.answered()
            await within(world.service.drain(timeout_s=0.05))
            (ended,) = await world.over()
            assert ended.reason == "drained"
            assert (await caller.expect(Ended)).reason == "bye"

    run(main())


def test_draining_with_nobody_there_is_done_at_once(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            await within(world.service.drain(timeout_s=60.0))

    run(main())


def test_stop_ends_whoever_is_there(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, "slow_session on=2 seconds=30") as world:
            talking, ringing = await world.answered(), await world.call()
            await until(lambda: world.service.calls == 2)
            await within(world.service.stop())
            assert (await talking.expect(Ended)).reason == "bye"
            assert (await ringing.expect(Ended)).status == 480
            assert {ended.reason for ended in world.ledger.all(events.Ended)} == {"stopped"}
            assert (await world.refused())[0].status == 503

    run(main())


def test_a_bad_offer_is_refused(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            for body, status in ((b"nonsense", 400), (_video(), 488)):
                caller = await world.caller()
                caller.invite(world.port, body=body)
                assert (await caller.expect(Ended)).status == status
            assert world.ledger.crashes == []

    run(main())


def _video() -> bytes:
    lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0", "m=video 5000 RTP/AVP 96", ""]
    return "\r\n".join(lines).encode()


def test_a_call_that_we_make(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world, Caller() as callee:
            port = callee.endpoint.flow_to("UDP", (HOST, 9)).local[1]  # type: ignore[index]
            target = Uri.parse(f"sip:200@{HOST}:{port}")
            await world.service.dial("main", target, [("X-Order", "17")])
            invite = await callee.expect(IncomingInvite)
            assert invite.request.from_.uri == ACCOUNT.address
            assert invite.request.headers.get("X-Order") == "17"
            assert world.service.calls == 1
            callee.endpoint.command(callee.endpoint.agent.accept, invite.handle, callee.offer())
            await callee.expect(Acknowledged)
            await within(callee.heard.wait())
            callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
            (ended,) = await world.over()
            assert ended.reason == "bye"
            assert world.ledger.all(events.Dialled) == [events.Dialled("main", str(target))]

    run(main())


def test_a_call_that_we_make_is_refused(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world, Caller() as callee:
            port = callee.endpoint.flow_to("UDP", (HOST, 9)).local[1]  # type: ignore[index]
            await world.service.dial("main", Uri.parse(f"sip:200@{HOST}:{port}"))
            invite = await callee.expect(IncomingInvite)
            callee.endpoint.command(callee.endpoint.agent.reject, invite.handle, 486)
            (ended,) = await world.over()
            assert ended.reason == "rejected_486"
            assert world.service.calls == 0

    run(main())


def test_calls_that_can_not_be_made(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, max_calls=1) as world:
            with pytest.raises(SipagentError, match="no line other"):
                await world.service.dial("other", Uri.parse(f"sip:200@{HOST}"))
            with pytest.raises(SipagentError, match=r"no way to sip:200@no\.such"):
                await world.service.dial("main", Uri.parse("sip:200@no.such.host.invalid"))
            with pytest.raises(SipagentError, match="Contact is written by the user agent"):
                await world.service.dial("main", Uri.parse(f"sip:200@{HOST}"), [("Contact", "<sip:me@example.com>")])
            with pytest.raises(SipagentError, match="CR, LF"):
                await world.service.dial("main", Uri.parse(f"sip:200@{HOST}"), [("X-Order", "17\r\nVia: x")])
            await world.answered()
            with pytest.raises(SipagentError, match="too many"):
                await world.service.dial("main", Uri.parse(f"sip:200@{HOST}"))
            assert len(world.ledger.all(events.Dialled)) == 0

    run(main())


def test_an_update_is_answered_at_once(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            caller = await world.answered()
            agent, command = caller.endpoint.agent, caller.endpoint.command
            command(agent.update, caller.handle, caller.offer() + b"a=sendonly\r\n")
            assert b"a=recvonly" in (await caller.expect(UpdateAccepted)).body
            command(agent.update, caller.handle, b"no description")
            assert (await caller.expect(ReinviteRejected)).status == 400
            command(agent.update, caller.handle, caller.offer())
            assert b"a=sendrecv" in (await caller.expect(UpdateAccepted)).body
            assert [fact.is_held for fact in world.ledger.all(events.HeldByPeer)] == [True, False]

    run(main())


def test_our_offer_is_in_the_ringing_for_who_wants_it_there(run: Clean, tmp_path: Path) -> None:
    """A gateway with delayed offer and reliable ringing, which waits for our offer before it rings through."""

    async def main() -> None:
        async with serving(tmp_path) as world:
            peer = RawUdp()
            invite = options(world.port, branch="invite").replace(b"OPTIONS", b"INVITE")
            contact = f"Contact: <sip:gateway@{HOST}:{peer.address[1]}>\r\nContent-Length".encode()
            peer.send(invite.replace(b"Content-Length", b"Require: 100rel\r\n" + contact), world.port)
            trying, ringing = await peer.receive(), await peer.receive()
            assert isinstance(trying, Response)
            assert isinstance(ringing, Response)
            assert (trying.status, ringing.status) == (100, 180)
            assert b"m=audio" in ringing.body
            rtp = UdpSocket((HOST, 0), lambda data, source: None)
            peer.send(_prack(world.port, ringing, _describe(rtp.address[1])), world.port)
            statuses: dict[str, int] = {}
            while "INVITE" not in statuses:
                response = await peer.receive()
                assert isinstance(response, Response)
                if response.status >= 200:
                    statuses[response.cseq.method] = response.status
                    assert response.body == b""
            assert statuses == {"PRACK": 200, "INVITE": 200}
            rtp.close()
            peer.close()

    run(main())


def _describe(port: int) -> bytes:
    lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0", f"m=audio {port} RTP/AVP 8", ""]
    return "\r\n".join(lines).encode()


def _prack(port: int, ringing: Response, answer: bytes) -> bytes:
    lines = [
        f"PRACK sip:agent@{HOST}:{port} SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST};branch=z9hG4bKprack;rport",
        "Max-Forwards: 70",
        f"From: {ringing.headers.get('From')}",
        f"To: {ringing.headers.get('To')}",
        f"Call-ID: {ringing.call_id}",
        "CSeq: 2 PRACK",
        f"RAck: {ringing.headers.get('RSeq')} {ringing.headers.get('CSeq')}",
        "Content-Type: application/sdp",
        f"Content-Length: {len(answer)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + answer
