"""The service: it makes a call of every INVITE, keeps the calls, and brings them to an end in peace."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from random import Random
from time import gmtime, monotonic, strftime, time

from sipagent.agent.tools import CallInfo
from sipagent.aio.call import CallRunner, Observer, Outgoing
from sipagent.aio.gate import Gate, load_of
from sipagent.aio.line import Line, info_of
from sipagent.aio.media import Media
from sipagent.aio.programs import OnCall, Programs
from sipagent.aio.recorder import Recorder
from sipagent.aio.replacement import Way
from sipagent.aio.signalling import Signalling
from sipagent.aio.sound_file import Format, opener_of
from sipagent.aio.speech_model import SpeechModel
from sipagent.aio.staff import Staff
from sipagent.aio.ticker import Ticker
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.tools import ToolRunner, make_places
from sipagent.aio.udp import RtpPorts
from sipagent.call.admission import Admission, Verdict
from sipagent.call.call import Call
from sipagent.call.commands import Commands
from sipagent.call.events import Dialled, Fact, Invited
from sipagent.call.sip_leg import SipLeg
from sipagent.call.staffing import TurnedAway
from sipagent.errors import SipagentError
from sipagent.rtp.dtls import Certificate
from sipagent.sip.core import HeaderList, check_headers
from sipagent.sip.events import (
    Address,
    Ended,
    Event,
    Flow,
    IncomingInvite,
)
from sipagent.sip.identity import Identity, Party
from sipagent.sip.nat import Outside
from sipagent.sip.uri import Uri

NO_SUCH_CALL = 481

RETRY_AFTER_S = 10
"""When a caller who found us full may try again."""


class Service:
    """All calls of the process.

    :param lines: by name; the first takes the calls that are for none of them.
    :param speech: tells speech from noise for the calls that ask; without it they go by loudness.
    :param by_health: whether calls are also refused when the process has more to do than it can.
    :param pressed: is told when calls begin to be refused for that, and when no longer.
    :param ports6: where media to and from IPv6 peers go.
    :param recording_format: what recordings are written as, into ``recordings``.
    :param media_address: what peers beyond our own networks are told to send media to, instead of the address by which
        they reach us.
    :param zone: where the clocks of agents and hours hang; ``None`` is the place of this machine.
    :param on_call: the user's program, which is given each call once it is answered.
    :raises SipagentError: when what the format of recordings needs is not installed.
    """

    def __init__(
        self,
        *,
        lines: Mapping[str, Line],
        ports: RtpPorts,
        max_calls: int,
        recordings: Path,
        observer: Observer,
        random: Random,
        recording_format: Format = "wav",
        media_address: str | None = None,
        ports6: RtpPorts | None = None,
        certificate: Certificate | None = None,
        zone: tzinfo | None = None,
        on_call: OnCall | None = None,
        speech: SpeechModel | None = None,
        by_health: bool = False,
        pressed: Callable[[Verdict], None] | None = None,
    ) -> None:
        self._speech = speech
        self._zone = zone
        self._certificate = certificate
        self._programs = Programs(on_call, failed=observer.observe_program_error) if on_call is not None else None
        self._lines = lines
        self._first = next(iter(lines.values()))
        self._ports = ports
        self._ports6 = ports6 or ports
        self._recordings = recordings
        self._recording_format = recording_format
        self._opens = opener_of(recording_format)
        self._observer = observer
        self._random = random
        self._media_outside = Outside(media_address)
        self._outsides = {name: Outside(line.external_address) for name, line in lines.items() if line.external_address}
        self._ticker = Ticker()
        self._gate = Gate(
            Admission(max_calls, by_health=by_health),
            calls=lambda: self.calls,
            measure=partial(load_of, self._ticker),
            changed=pressed,
        )
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._places = make_places()
        self._runners: dict[str, CallRunner] = {}
        self._by_handle: dict[int, CallRunner] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._signalling: Signalling | None = None
        self.over: Callable[[str], None] = _nobody
        """Is told the id of each call once nothing is left of it."""
        self.begun = 0
        """Calls that there ever were."""

    def attach(self, signalling: Signalling) -> None:
        """Take the calls of this user agent."""
        self._signalling = signalling

    @property
    def calls(self) -> int:
        """How many calls there are now."""
        return len(self._runners)

    def judge(self) -> Verdict:
        """Say whether a call would be taken now."""
        return self._gate.look()

    @property
    def refusals(self) -> Counter[str]:
        """Calls that found no room, by why: ``calls``, ``cpu``, ``late``, or ``ports``, of which none was left."""
        return self._gate.refusals

    @property
    def refused(self) -> int:
        """All of them."""
        return self.refusals.total()

    @property
    def skipped_beats(self) -> int:
        """Beats of 20 ms let go because the process was stalled."""
        return self._ticker.skipped_beats

    def receive(self, event: Event) -> None:
        """Take an event of the user agent's."""
        if isinstance(event, IncomingInvite):
            self.take(event, self._new_call_id())
            return
        runner = self._by_handle.get(getattr(event, "handle", 0))
        if runner is None:
            return
        runner.receive(event)
        if isinstance(event, Ended):
            self._by_handle.pop(event.handle, None)

    async def dial(self, line_name: str, target: Uri, headers: HeaderList = ()) -> str:
        """Call somebody by a line; return the id of the call, which is under way.

        :param headers: fields of the INVITE that are the user's own.
        :raises SipagentError: when the line can't call, we are full or about to stop, or a field is none of the user's.
        """
        check_headers(headers)
        signalling = self._signalling
        if signalling is None or line_name not in self._lines:
            raise SipagentError(f"there is no line {line_name}")
        if signalling.is_draining:
            raise SipagentError("no call can be made now: we are about to stop")
        verdict = self._gate.look()
        if verdict.refusal is not None:
            raise SipagentError(f"no call can be made now: {verdict.words}")
        flow = await signalling.find_way(line_name, target)
        call_id = self._new_call_id()
        self.place(call_id, line_name, target, headers, flow)
        return call_id

    def place(self, call_id: str, line_name: str, target: Uri, headers: HeaderList, flow: Flow) -> None:
        """Call somebody, the way being known.

        :raises SipagentError: when there is no such line, or no port.
        """
        signalling, line = self._signalling, self._lines.get(line_name)
        if signalling is None or line is None:
            raise SipagentError(f"there is no line {line_name}")
        media = self._open_media(flow)
        info = CallInfo(
            call_id,
            caller=line_name,
            called=str(target),
            agent=line.agent,
            caller_number=line_name,
            called_number=str(Party(target)),
            line=line_name,
            time=self._moment(),
        )
        outgoing = Outgoing(line_name, target, headers)
        runner = self._make_runner(info, line, flow, media, signalling, line_name=line_name, outgoing=outgoing)
        self._observe(info.call_id, Dialled(line_name, str(target)))
        self._keep(runner)
        runner.driver.feed(runner.call.dial)

    def has(self, call_id: str) -> bool:
        """Whether there is such a call."""
        return call_id in self._runners

    def pause_recording(self, call_id: str, is_paused: bool) -> None:
        """Have a call's recording pause, or go on.

        :raises SipagentError: when there is no such call, or it is not recorded.
        """
        runner = self._runners.get(call_id)
        record = runner.call.recording.record if runner is not None else None
        if runner is None or record is None:
            raise SipagentError(f"no call {call_id} is being recorded")
        runner.driver.feed(record.pause if is_paused else record.resume)

    def close_doors(self) -> None:
        """Take no more calls."""
        if self._signalling is not None:
            self._signalling.is_draining = True

    async def drain(self, *, timeout_s: float) -> None:
        """Take no more calls and wait for those there are; after ``timeout_s`` they say goodbye."""
        self.close_doors()
        try:
            async with TimeLimit(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            for runner in list(self._runners.values()):
                runner.driver.feed(runner.call.drain)
            await self._empty.wait()

    async def stop(self) -> None:
        """End every call now, and take none any more."""
        self.close_doors()
        for runner in list(self._runners.values()):
            runner.driver.feed(partial(runner.call.hang_up, "stopped"))
        await self._empty.wait()
        self._gate.close()
        for line in self._lines.values():
            for each in (line, *line.others.values()):
                for engine in (each.engine, *each.substitutes):
                    engine.breaker.stop()

    async def close(self) -> None:
        """Wait for the programs, for a while, and until the recordings are written, however slow the disk is."""
        if self._programs is not None:
            await self._programs.close()
        await asyncio.get_running_loop().run_in_executor(None, self._writer.shutdown)

    def take(self, event: IncomingInvite, call_id: str) -> None:
        """Make a call of an INVITE, or refuse it.

        :param call_id: what the call is to be called.
        """
        signalling = self._signalling
        if signalling is None:
            return
        if event.replaces is not None:
            self._on_replacement(event, event.replaces, signalling)
            return
        verdict = self._gate.look()
        if verdict.refusal is not None:
            self._refuse(event.handle, verdict.refusal)
            return
        moment = self._moment()
        line = self._lines.get(event.line, self._first).choose(event.identity, moment)
        if isinstance(line, int):
            self._turn_away(event, call_id, line, signalling)
            return
        try:
            media = self._open_media(event.flow)
        except SipagentError:
            self._refuse(event.handle, "ports")
            return
        try:
            info = info_of(call_id, event.identity, line.agent, line=event.line, moment=moment)
            self._observe(call_id, Invited(info.caller, info.called, event.request.call_id))
            runner = self._make_runner(
                info,
                line,
                event.flow,
                media,
                signalling,
                line_name=event.line,
                handle=event.handle,
                identity=event.identity,
            )
        except Exception as error:  # noqa: BLE001 - a bug costs this call, not its ports nor the user agent
            media.close()
            self._observer.observe_crash("", error)
            signalling.reject(event.handle, 500)
            return
        self._keep(runner)
        self._by_handle[event.handle] = runner
        receive = partial(runner.call.receive_invite, event.body, wants_early_offer=event.wants_early_offer)
        runner.driver.feed(receive)

    # Within

    def _on_replacement(self, event: IncomingInvite, replaced: int, signalling: Signalling) -> None:
        """Somebody else is put through to an agent who is in a call."""
        runner = self._by_handle.get(replaced)
        if runner is None:
            signalling.reject(event.handle, NO_SUCH_CALL)
        else:
            runner.replacement.take(event, self._media_address_toward(event.flow.remote, signalling, event.line))

    def _turn_away(self, event: IncomingInvite, call_id: str, status: int, signalling: Signalling) -> None:
        """A route says that nobody takes the call."""
        caller, called = str(event.identity.caller.uri), str(event.identity.called)
        self._observe(call_id, TurnedAway(caller, called, event.line, status))
        signalling.reject(event.handle, status)

    def _moment(self) -> datetime:
        """What the calendar and the clock on the wall say."""
        return datetime.fromtimestamp(time(), UTC).astimezone(self._zone)

    def _refuse(self, handle: int, why: str) -> None:
        """There is no room for a call."""
        self.refusals[why] += 1
        if self._signalling is not None:
            self._signalling.reject(handle, 503, (("Retry-After", str(RETRY_AFTER_S)),))

    def _new_call_id(self) -> str:
        return f"{self._random.getrandbits(48):012x}"

    def _open_media(self, flow: Flow) -> Media:
        return Media(self._ports6 if ":" in flow.remote[0] else self._ports, self._ticker)

    def _media_address_toward(self, remote: Address, signalling: Signalling, line_name: str) -> str:
        outside = self._outsides.get(line_name, self._media_outside)
        return outside.toward(remote[0], (signalling.address_toward(remote), 0))[0]

    def _make_runner(
        self,
        info: CallInfo,
        line: Line,
        flow: Flow,
        media: Media,
        signalling: Signalling,
        *,
        line_name: str,
        handle: int | None = None,
        outgoing: Outgoing | None = None,
        identity: Identity | None = None,
    ) -> CallRunner:
        call_id = info.call_id
        address = self._media_address_toward(flow.remote, signalling, line_name)
        leg = SipLeg(
            address=address,
            port=media.port,
            codecs=line.codecs,
            cname=f"{call_id}@sipagent",
            random=self._random,
            signalling_host=flow.remote[0],
            wall_offset=time() - monotonic(),
            srtp=line.srtp,
            keys_in_rtp=line.keys_in_rtp,
            certificate=self._certificate,
        )
        staff = Staff(line, info, identity, moment=self._moment, report=self._observer.observe_tool_error)
        tools = staff.tools
        call = Call(call_id, leg=leg, settings=line.settings(info, identity, tools), random=self._random)
        runner = CallRunner(
            call,
            handle=handle,
            outgoing=outgoing,
            media=media,
            signalling=signalling,
            engine=line.engine,
            substitutes=line.substitutes,
            tools=ToolRunner(
                tools,
                report=self._observer.observe_tool_error,
                call=info,
                approval=line.approval,
                places=self._places,
            ),
            staff=staff,
            make_recorder=partial(self._make_recorder, call_id),
            observer=self._observer,
            ended=self._on_ended,
            way=Way(line.account, line.transfers, address, flow.remote[0]),
            keep=self._on_dialled,
            speech=self._speech,
        )
        self._hand_out(runner, line, staff)
        return runner

    def _hand_out(self, runner: CallRunner, line: Line, staff: Staff) -> None:
        """Give the call to those who follow it: the user's program, and what runs an agent that is not ours."""
        call, driver = runner.call, runner.driver
        if self._programs is not None:
            runner.handle = self._programs.follow(call, driver, staff)
        if line.companion is not None:
            report = self._observer.observe_tool_error
            follow = partial(line.companion.follow, info=staff.info, line=line, hire=staff.hire, report=report)
            runner.companion = follow(Commands(call), driver)

    def _make_recorder(self, call_id: str, number: int) -> Recorder:
        stamp = strftime("%Y%m%dT%H%M%SZ", gmtime())
        suffix = "" if number == 1 else f"-{number}"
        path = self._recordings / f"{stamp}-{call_id}{suffix}.{self._recording_format}"
        failed = partial(self._observer.observe_recording_error, call_id)
        return Recorder(path, writer=self._writer, failed=failed, opens=self._opens)

    def _observe(self, call_id: str, fact: Fact) -> None:
        self._observer.observe(call_id, fact, now=monotonic())

    def _keep(self, runner: CallRunner) -> None:
        self._runners[runner.call.id] = runner
        self.begun += 1
        self._gate.watch()
        self._empty.clear()

    def _on_dialled(self, handle: int, call_id: str) -> None:
        self._by_handle[handle] = self._runners[call_id]

    def _on_ended(self, runner: CallRunner) -> None:
        self._runners.pop(runner.call.id, None)
        for handle in [handle for handle, each in self._by_handle.items() if each is runner]:
            del self._by_handle[handle]
        if not self._runners:
            self._empty.set()
        self.over(runner.call.id)


def _nobody(_call_id: str) -> None:
    """Nobody wants to know."""
