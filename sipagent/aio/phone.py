"""The shell of our own telephone: one call out, from the INVITE to the end."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, time

from sipagent.aio.driver import Driver
from sipagent.aio.media import Media
from sipagent.aio.recorder import Recorder
from sipagent.aio.ticker import Ticker
from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import RtpPorts
from sipagent.call import events
from sipagent.call.phone import CODECS, HungUp, Line, Phone, PhoneOutput, format_for
from sipagent.call.sip_leg import SipLeg
from sipagent.errors import SipagentError
from sipagent.sdp.negotiation import SrtpMode
from sipagent.sip.account import Account
from sipagent.sip.core import HeaderList, UserAgentSettings, check_headers
from sipagent.sip.dialog import is_numeric
from sipagent.sip.events import (
    Accepted,
    Ended,
    Event,
    Flow,
    IncomingInvite,
    Progressed,
    Refreshed,
    Reinvited,
)
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

PORTS = (40_000, 49_999)
"""Where the telephone takes its media ports, clear of the service's."""

BUSY = 486
"""What whoever calls this telephone is told: it only calls out."""


class PhoneRunner:
    """Dials, runs the script and waits for the end.

    :param account: by which we call; without one straight to the target, and as nobody.
    :param tls: our certificates, and those we trust; by default the system's.
    :param srtp: whether its audio may, or must, be encrypted.
    :param noted: is given every fact as it happens, with its time.
    :param codecs: what we offer, best first; ``format_for`` them the lines are.
    :param headers: fields of the INVITE that are the user's own.
    :raises LocalProtocolError: for a field that is none of the user's.
    """

    def __init__(
        self,
        *,
        lines: Sequence[Line],
        recording: Path | None,
        noted: Callable[[PhoneOutput, float], None],
        random: Random,
        account: Account | None = None,
        tls: Tls | None = None,
        codecs: tuple[str, ...] = CODECS,
        srtp: SrtpMode = "off",
        headers: HeaderList = (),
    ) -> None:
        check_headers(headers)
        self._headers = headers
        self._codecs = codecs
        self._srtp: SrtpMode = srtp
        self._account = account
        self._tls = tls
        self._lines = lines
        self._recording = recording
        self._noted = noted
        self._random = random
        self._over = asyncio.Event()
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._error: Exception | None = None
        self._handle = 0

    async def call(self, target: Uri, *, linger_s: float = 4.0, max_call_s: float = 120.0) -> None:
        """Make the call; return when it is over.

        :raises SipagentError: when the call can't be started or a bug ends it.
        """
        async with AsyncExitStack() as stack:
            self._endpoint = SipEndpoint(
                UserAgentSettings(user_agent="sipagent-phone"),
                [] if self._account is None else [self._account],
                on_event=self._receive,
                on_crash=self._crash,
                random=self._random,
                tls=self._tls,
            )
            stack.push_async_callback(self._endpoint.close)
            flow = await self._find_way(target)
            self._open_phone(flow, stack, linger_s, max_call_s)
            self._endpoint.command(self._dial, target, flow)
            await self._over.wait()
        if isinstance(self._error, SipagentError):
            raise self._error
        if self._error is not None:
            raise SipagentError(f"the telephone failed: {self._error!r}") from self._error

    # Within

    async def _find_way(self, target: Uri) -> Flow:
        """The way to the account's PBX or to the target; by IPv4 first, where most telephones listen."""
        account, endpoint = self._account, self._endpoint
        uri = target if account is None else endpoint.agent.first_hop(account.name, target)
        addresses = ("::",) if ":" in uri.host else ("0.0.0.0",) if is_numeric(uri.host) else ("0.0.0.0", "::")
        for address in addresses[:-1]:
            with suppress(SipagentError):
                return await self._find_way_from(address, uri)
        return await self._find_way_from(addresses[-1], uri)

    async def _find_way_from(self, address: str, uri: Uri) -> Flow:
        try:
            await self._endpoint.listen("UDP", (address, 0))
        except OSError as error:
            raise SipagentError(f"no way to {uri}: {error.strerror or error}") from error
        return await self._endpoint.find_flow(uri)

    def _open_phone(self, flow: Flow, stack: AsyncExitStack, linger_s: float, max_call_s: float) -> None:
        address = flow.local[0] if flow.local else "127.0.0.1"
        self._media = Media(RtpPorts(address, PORTS, random=self._random), Ticker())
        stack.callback(self._media.close)
        self._recorder = self._make_recorder()
        leg = SipLeg(
            address=address,
            port=self._media.port,
            codecs=self._codecs,
            audio_format=format_for(self._codecs),
            translates=False,
            cname="phone@sipagent",
            random=self._random,
            wall_offset=time() - monotonic(),
            keys_in_rtp=self._account is None or self._account.keys != "info",
            srtp=self._srtp,
        )
        self._phone = Phone(
            leg=leg,
            lines=self._lines,
            linger_s=linger_s,
            max_call_s=max_call_s,
            random=self._random,
            now=monotonic(),
        )
        self._driver: Driver[PhoneOutput] = Driver(self._phone, carry=self._carry, crashed=self._crash)
        self._media.attach(self._phone, self._driver)
        stack.push_async_callback(self._close)

    def _dial(self, target: Uri, flow: Flow, *, now: float) -> None:
        agent, offer = self._endpoint.agent, self._phone.offer()
        if self._account is not None:
            self._handle = agent.invite(target, account=self._account.name, body=offer, headers=self._headers, now=now)
            return
        caller = NameAddr(None, Uri("sip", "caller", host=flow.local[0] if flow.local else "127.0.0.1"))
        self._handle = agent.invite(target, flow, from_=caller, body=offer, headers=self._headers, now=now)

    def _receive(self, event: Event) -> None:
        phone, feed = self._phone, self._driver.feed
        match event:
            case Progressed(_, response, body):
                feed(partial(phone.receive_progress, response.status, body))
            case Accepted(_, _, body):
                feed(partial(phone.receive_answer, body))
            case Refreshed(_, body):
                feed(partial(phone.receive_refresh, body))
            case Reinvited(_, _, body):
                feed(partial(phone.receive_reinvite, body))
            case IncomingInvite(handle):
                self._endpoint.command(self._endpoint.agent.reject, handle, BUSY)
            case Ended(_, reason, status):
                feed(partial(phone.leg_ended, reason, status))

    def _carry(self, output: PhoneOutput) -> None:
        agent, command = self._endpoint.agent, self._endpoint.command
        match output:
            case events.SendRtcp():
                self._media.send_rtcp(output)
            case events.RecordAudio():
                if self._recorder is not None:
                    self._recorder.write(output)
            case events.Accept(body):
                command(agent.accept, self._handle, body)
            case events.Reject(status):
                command(agent.reject, self._handle, status)
            case events.PressKeys(digits):
                command(self._press, digits)
            case events.HangUp():
                command(agent.hang_up, self._handle)
            case _:
                self._noted(output, monotonic())
                if isinstance(output, HungUp):
                    self._over.set()

    def _press(self, digits: str, *, now: float) -> None:
        self._endpoint.agent.midcall(self._handle).press(digits, now=now)

    def _make_recorder(self) -> Recorder | None:
        if self._recording is None:
            return None
        return Recorder(self._recording, writer=self._writer, failed=self._recording_failed)

    def _recording_failed(self, reason: str) -> None:
        self._error = SipagentError(f"can't record to {self._recording}: {reason}")

    def _crash(self, error: Exception) -> None:
        self._error = error
        self._endpoint.command(self._endpoint.agent.hang_up, self._handle)
        self._over.set()

    async def _close(self) -> None:
        """Hang up, if we are being stopped; let the goodbye be answered, and complete the recording."""
        if not self._over.is_set():
            self._driver.feed(self._phone.hang_up)
        await self._endpoint.settle()
        self._driver.close()
        if self._recorder is not None:
            self._recorder.close()
        await asyncio.get_running_loop().run_in_executor(None, self._writer.shutdown)
