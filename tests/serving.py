"""A service on the loopback with the embedded model, and a ledger of what became of its calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from loopback import HOST, Caller, make_model, until, within

from sipagent.agent.builtin import KEY_TOOLS
from sipagent.agent.tools import Tool
from sipagent.aio.engine import Engine
from sipagent.aio.line import Line
from sipagent.aio.programs import OnCall
from sipagent.aio.service import Service
from sipagent.aio.signalling import SipSignalling
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import RtpPorts
from sipagent.call import events
from sipagent.call.admission import Verdict
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.events import Fact
from sipagent.call.settings import CallSettings
from sipagent.call.transfer import TransferSettings
from sipagent.realtime.settings import SessionSettings
from sipagent.rtp.dtls import Certificate
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Ended
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

Kind = TypeVar("Kind")
PORTS = (20_000, 27_999)


ACCOUNT = Account(name="main", address=Uri.parse("sip:100@pbx.example.com"), contact_user="100-abc")
"""By which the service calls."""


class Ledger:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.delays: list[tuple[str, float]] = []
        self.crashes: list[Exception] = []
        self.tool_errors: list[tuple[str, BaseException]] = []
        self.recording_errors: list[str] = []
        self.program_errors: list[Exception] = []

    def observe(self, call_id: str, fact: Fact, *, now: float) -> None:
        self.facts.append(fact)

    def observe_delay(self, path: str, seconds: float) -> None:
        self.delays.append((path, seconds))

    def observe_crash(self, call_id: str, error: Exception) -> None:
        self.crashes.append(error)

    def observe_tool_error(self, name: str, error: BaseException) -> None:
        self.tool_errors.append((name, error))

    def observe_program_error(self, call_id: str, error: Exception) -> None:
        self.program_errors.append(error)

    def observe_recording_error(self, call_id: str, reason: str) -> None:
        self.recording_errors.append(reason)

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


class World:
    """A service on the loopback and what became of its calls."""

    def __init__(
        self,
        engine: Engine,
        recordings: Path,
        *,
        max_calls: int = 10,
        ports: tuple[int, int] = PORTS,
        tools: tuple[Tool, ...] = (),
        greeting: str | None = "Greet the caller.",
        records: bool = False,
        keys_in_rtp: bool = True,
        transfer: TransferSettings | None = None,
        transfers: Targets | None = None,
        user_agent: UserAgentSettings | None = None,
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        certificate: Certificate | None = None,
        continuity: ContinuitySettings | None = None,
        on_call: OnCall | None = None,
        by_health: bool = False,
    ) -> None:
        self.ledger = Ledger()
        self.pressed: list[Verdict] = []
        self.crashes: list[Exception] = []
        session = SessionSettings(
            "test", transcription_model=None, tools=tuple(each.definition for each in tools), setup_timeout_s=1.0
        )
        conversation = ConversationSettings(
            session,
            greeting,
            key_tools=frozenset(KEY_TOOLS.keys() & {each.name for each in tools}),
            continuity=continuity or ContinuitySettings(),
        )
        call = CallSettings(conversation, records=records, transfer=transfer)
        line = Line(
            codecs,
            call,
            engine,
            tools,
            "agent",
            keys_in_rtp=keys_in_rtp,
            account=ACCOUNT.name,
            transfers=transfers,
        )
        self.service = Service(
            lines={"main": line},
            ports=RtpPorts(HOST, ports, random=Random()),
            max_calls=max_calls,
            recordings=recordings,
            observer=self.ledger,
            random=Random(5),
            certificate=certificate,
            on_call=on_call,
            by_health=by_health,
            pressed=self.pressed.append,
        )
        self.endpoint = SipEndpoint(
            user_agent or UserAgentSettings(),
            [ACCOUNT],
            on_event=self.service.receive,
            on_crash=self.crashes.append,
            random=Random(6),
        )
        self.service.attach(SipSignalling(self.endpoint))
        self.callers: list[Caller] = []
        self.port = 0

    async def call(self) -> Caller:
        """A caller who has sent an INVITE."""
        caller = await self.caller()
        caller.invite(self.port)
        return caller

    async def caller(self) -> Caller:
        caller = await Caller().open()
        self.callers.append(caller)
        return caller

    async def answered(self) -> Caller:
        """A caller who was answered."""
        caller = await self.call()
        await caller.expect(Accepted)
        return caller

    async def refused(self) -> tuple[Ended, Caller]:
        caller = await self.call()
        return await caller.expect(Ended), caller

    async def over(self, count: int = 1) -> list[events.Ended]:
        """Wait until so many calls have ended."""
        await until(lambda: len(self.ledger.all(events.Ended)) >= count, what=lambda: self.ledger.facts)
        return self.ledger.all(events.Ended)


@asynccontextmanager
async def serving(
    tmp_path: Path, script: str = "", *, engine: Engine | None = None, key: str = "", **settings: Any
) -> AsyncIterator[World]:
    """A service and its model; in the end all is closed, and nothing has crashed that was not meant to."""
    model = make_model(script, api_key="right") if key else make_model(script)
    await model.listen(HOST, 0)
    here = Engine(f"{model.url}?model=test", {"Authorization": f"Bearer {key}"} if key else {}, 1.0)
    world = World(engine or here, tmp_path, **settings)
    world.port = (await world.endpoint.listen("UDP", (HOST, 0)))[1]
    try:
        yield world
    finally:
        await within(world.service.stop())
        await world.endpoint.settle()
        for caller in world.callers:
            await caller.close()
        await world.endpoint.close()
        await model.close()
    assert world.crashes == []
    assert world.service.calls == 0
