"""Calls that move: handed on by the agent, put through by a PBX, sent elsewhere by one; over real sockets."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from loopback import HOST, Caller, Clean, until, within
from serving import World, serving

from sipagent.call import events
from sipagent.call.transfer import TransferSettings
from sipagent.realtime.events import FunctionCallRequested
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Acknowledged, Ended, IncomingInvite, ReferFinished, ReferProgressed, Referred
from sipagent.sip.guard import GuardSettings, Rule
from sipagent.sip.headers import NameAddr
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

pytestmark = pytest.mark.usefixtures("nothing_unheard")

SALES = Uri.parse("sip:200@127.0.0.1")
TRUSTING = UserAgentSettings(guard=GuardSettings(rules=(Rule(line="main", networks=(ip_network("127.0.0.0/8"),)),)))


def moving(tmp_path: Path, **settings: Any) -> AbstractAsyncContextManager[World]:
    """A service whose peers are trusted, and may send it to names and extensions here."""
    chosen = {"user_agent": TRUSTING, "transfers": Targets([HOST]), "greeting": None} | settings
    return serving(tmp_path, **chosen)


def address(caller: Caller, user: str = "300") -> Uri:
    """Where a caller can be called."""
    local = caller.endpoint.flow_to("UDP", (HOST, 9)).local
    assert local is not None
    return Uri("sip", user, host=HOST, port=local[1])


def refer(caller: Caller, target: Uri) -> None:
    caller.endpoint.command(caller.endpoint.agent.refer, caller.handle, target)


def pick_up(caller: Caller, handle: int) -> None:
    caller.handle = handle
    caller.endpoint.command(caller.endpoint.agent.accept, handle, caller.offer())


async def hears(caller: Caller) -> None:
    """Packets come."""
    caller.packets.clear()
    await until(lambda: len(caller.packets) >= 3, what=lambda: len(caller.packets))


class TestHandedOn:
    def wish(self, world: World) -> None:
        """Let the model have the call handed on; it says nothing about it, so it is asked to."""
        (runner,) = world.service._runners.values()
        call: Any = runner.call

        def ask(*, now: float) -> None:
            request = FunctionCallRequested("call_1", "transfer", '{"destination": "sales"}', "")
            call._conversation._on_session(request, now)
            call._follow(now)

        runner.driver.feed(ask)

    def test_the_agent_hands_the_call_on(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path, transfer=TransferSettings({"sales": SALES})) as world:
                caller = await world.answered()
                self.wish(world)
                referred = await caller.expect(Referred)
                assert referred.target == SALES
                midcall = caller.endpoint.agent.midcall(caller.handle)
                caller.endpoint.command(midcall.accept_refer)
                caller.endpoint.command(midcall.report_refer, 180)
                caller.endpoint.command(midcall.report_refer, 200)
                assert (await caller.expect(Ended)).reason == "bye"
                (ended,) = await world.over()
                assert ended.reason == "transferred"
                assert world.ledger.all(events.Transferred) == [events.Transferred("sales")]

        run(main())

    def test_the_peer_will_not(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path, transfer=TransferSettings({"sales": SALES})) as world:
                caller = await world.answered()
                self.wish(world)
                await caller.expect(Referred)
                caller.endpoint.command(caller.endpoint.agent.midcall(caller.handle).refuse_refer)
                await until(lambda: world.ledger.all(events.TransferFailed), what=lambda: world.ledger.facts)
                assert world.ledger.all(events.TransferFailed)[0].status == 603
                assert world.service.calls == 1
                await hears(caller)

        run(main())


class TestPutThrough:
    def test_a_pbx_puts_somebody_else_through(self, run: Clean, tmp_path: Path) -> None:
        """Trap: an attended transfer to the agent must not cost the conversation."""

        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                session: Any = first.endpoint.agent._sessions.get(first.handle)
                call_id, ours, theirs = session.dialog.id
                replaces = f"{call_id};to-tag={theirs};from-tag={ours}"
                flow = second.endpoint.flow_to("UDP", (HOST, world.port))
                target = Uri("sip", "agent", host=HOST, port=world.port)

                def dial(*, now: float) -> None:
                    caller = NameAddr.parse(f"<sip:boss@{HOST}>")
                    headers = [("Replaces", replaces)]
                    second.handle = second.endpoint.agent.invite(
                        target, flow, from_=caller, body=second.offer(), headers=headers, now=now
                    )

                second.endpoint.command(dial)
                await second.expect(Accepted)
                assert (await first.expect(Ended)).reason == "bye"
                await hears(second)
                assert world.service.calls == 1
                assert len(world.ledger.all(events.Replaced)) == 1
                assert not world.ledger.all(events.Ended)
                second.hang_up()
                (ended,) = await world.over()
                assert ended.reason == "bye"

        run(main())


class TestSentElsewhere:
    def test_the_conversation_goes_on_there(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                second.endpoint.command(second.endpoint.agent.ring, incoming.handle)
                assert incoming.request.headers.get("Referred-By") == f"<sip:caller@{HOST}>"
                while (await first.expect(ReferProgressed)).status != 180:
                    pass
                pick_up(second, incoming.handle)
                await second.expect(Acknowledged)
                assert (await first.expect(ReferFinished)).status == 200
                await hears(second)
                assert (await first.expect(Ended)).reason == "bye"
                assert world.service.calls == 1
                assert len(world.ledger.all(events.Replaced)) == 1
                second.hang_up()
                assert (await world.over())[0].reason == "bye"

        run(main())

    def test_who_sent_it_there_hangs_up_before_anybody_answers(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                first.hang_up()
                await first.expect(Ended)
                pick_up(second, incoming.handle)
                await second.expect(Acknowledged)
                await hears(second)
                assert not world.ledger.all(events.Ended)

        run(main())

    def test_nobody_is_there(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                second.endpoint.command(second.endpoint.agent.reject, incoming.handle, 486)
                assert (await first.expect(ReferFinished)).status == 486
                await hears(first)
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                first.hang_up()
                await first.expect(Ended)
                second.endpoint.command(second.endpoint.agent.reject, incoming.handle, 486)
                assert (await world.over())[0].reason == "bye"

        run(main())

    def test_the_agent_hangs_up_while_it_rings_there(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                (runner,) = world.service._runners.values()
                runner.driver.feed(partial(runner.call.hang_up, "test"))
                ended = await second.expect(Ended)
                assert (ended.handle, ended.reason) == (incoming.handle, "cancelled")
                await first.expect(Ended)
                assert not world.service._by_handle

        run(main())

    def test_an_answer_that_is_none_costs_that_call_only(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                incoming = await second.expect(IncomingInvite)
                second.endpoint.command(second.endpoint.agent.accept, incoming.handle, b"nonsense")
                assert (await first.expect(ReferFinished)).status == 488
                assert (await second.expect(Ended)).reason == "bye"
                await hears(first)

        run(main())

    @pytest.mark.parametrize("target", ["sip:+19005551234@127.0.0.1", "sip:300@evil.example", "tel:0900123456"])
    def test_where_calls_may_not_go(self, run: Clean, tmp_path: Path, target: str) -> None:
        """Trap: toll fraud by REFER."""

        async def main() -> None:
            async with moving(tmp_path) as world:
                first = await world.answered()
                refer(first, Uri.parse(target))
                assert (await first.expect(ReferFinished)).status == 603
                await hears(first)
                assert not world.ledger.all(events.Replaced)

        run(main())

    def test_a_stranger_sends_us_nowhere(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with moving(tmp_path, user_agent=UserAgentSettings()) as world:
                first, second = await world.answered(), await world.caller()
                refer(first, address(second))
                assert (await within(first.expect(ReferFinished))).status == 403

        run(main())
