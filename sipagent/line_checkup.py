"""A dry run of every line that registers: would its PBX take it, and if not, why not, in words.

The registrar is asked what it has registered, by a REGISTER that has no Contact: it is challenged as any, but changes
nothing, so that a sipagent or a telephone that is registered stays so.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from email.utils import parsedate_to_datetime
from random import SystemRandom
from time import time
from typing import Protocol

from sipagent.aio.dns import look_up
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.tls import Tls, explain
from sipagent.aio.ua import SipEndpoint
from sipagent.config import Config
from sipagent.errors import SipagentError
from sipagent.lines import make_accounts
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.diagnosis import diagnose
from sipagent.sip.dialog import is_numeric
from sipagent.sip.events import Event, Flow, Queried
from sipagent.sip.message import Response
from sipagent.sip.uri import Uri

CONNECT_S = 5.0
"""For a connection and its handshake; a registrar that takes longer is of no use to a caller."""

ANSWER_S = 8.0
"""For an answer to a question, which UDP has then sent five times."""

REFUSAL_S = 0.5
"""For the word that nothing listens on a UDP port, which only comes from where we have asked."""

CLOCK_S = 300.0
"""Clocks that are further apart make certificates and nonces look wrong."""


class Report(Protocol):
    """Where the findings go, a line each."""

    def good(self, text: str) -> None:
        """It is as it should be."""

    def bad(self, text: str) -> None:
        """It is not."""

    def note(self, text: str) -> None:
        """Somebody should know."""


async def check_lines(config: Config, report: Report) -> None:
    """Try all lines that register."""
    accounts = [account for account in make_accounts(config) if account.registrars]
    if not accounts:
        return
    queries, tls = _Queries(report), Tls(config.sip.tls)
    endpoint = SipEndpoint(
        UserAgentSettings(user_agent=config.sip.user_agent),
        accounts,
        on_event=queries.receive,
        on_crash=lambda error: report.bad(f"the user agent has failed: {error!r}"),
        random=SystemRandom(),
        tls=tls,
    )
    try:
        for listener in config.sip.listen:
            # Other ports than the service's own, which may be running; and to ask by TLS needs no certificate.
            transport = "UDP" if listener.transport == "UDP" else "TCP"
            with suppress(OSError):  # that the address is none of ours is told where the ports are
                await endpoint.listen(transport, (listener.host, 0))
        for account in accounts:
            await _LineCheckup(account, endpoint, tls, queries, report).run()
    finally:
        await endpoint.close()


class _Queries:
    """The questions that are not answered yet."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: dict[tuple[str, Uri], asyncio.Future[Response | None]] = {}

    def expect(self, account: str, registrar: Uri) -> "asyncio.Future[Response | None]":
        """Return what will be the answer."""
        answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._open[account, registrar] = answer
        return answer

    def receive(self, event: Event) -> None:
        """Take an event of the user agent's."""
        if isinstance(event, Queried):
            answer = self._open.pop((event.account, event.registrar), None)
            if answer is not None and not answer.done():
                answer.set_result(event.response)


class _LineCheckup:
    """One line with all its registrars."""

    def __init__(
        self, account: Account, endpoint: SipEndpoint, tls: Tls, queries: _Queries, report: Report
    ) -> None:
        self._account = account
        self._endpoint = endpoint
        self._tls = tls
        self._queries = queries
        self._report = report

    async def run(self) -> None:
        """Try them one after the other."""
        account = self._account
        registrars = account.registrars if account.outbound_proxy is None else (account.outbound_proxy,)
        for registrar in registrars:
            where = f"line {account.name}: {registrar.host_port}"
            fault = await self._find_fault(registrar, where)
            if fault is not None:
                self._report.bad(f"{where}: {fault}")

    async def _find_fault(self, registrar: Uri, where: str) -> str | None:
        """Return what is wrong; what is right is told."""
        try:
            flow = await self._endpoint.find_flow(registrar)
        except SipagentError as error:
            is_known = is_numeric(registrar.host) or await look_up(registrar.host) is not None
            return str(error) if is_known else f"the name {registrar.host} does not resolve"
        fault = await _try_connection(flow, self._tls) if flow.reliable else None
        if fault is not None:
            return fault
        answer = self._queries.expect(self._account.name, registrar)
        self._endpoint.command(self._endpoint.agent.query, self._account.name, registrar)
        try:
            async with TimeLimit(ANSWER_S):
                response = await answer
        except TimeoutError:
            response = None
        if response is None:
            return await _explain_silence(flow)
        self._judge_clock(response, where)
        return self._judge(response, where)

    def _judge(self, response: Response, where: str) -> str | None:
        account = self._account
        if response.status < 300:
            proof = "takes the password of" if account.credentials is not None else "takes, without a password,"
            count = len(response.contacts)
            self._report.good(f"{where} {proof} {account.address.user}, which is registered {count} times now")
        elif response.status == 400:
            self._report.note(f"{where} answers, but can't be asked without registering: {diagnose(response, None)}")
        else:
            return diagnose(response, account.credentials)
        return None

    def _judge_clock(self, response: Response, where: str) -> None:
        """Compare its clock with ours, if it tells (:rfc:`3261#section-20.17`)."""
        try:
            theirs = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except (ValueError, OverflowError):
            return
        apart = time() - theirs
        if abs(apart) > CLOCK_S:
            self._report.bad(
                f"{where}: our clock is {abs(apart) / 60:.0f} minutes {'ahead of' if apart > 0 else 'behind'} its own"
            )


async def _try_connection(flow: Flow, tls: Tls) -> str | None:
    """Connect, and shake hands where that is due; return what is wrong."""
    name = (flow.name or flow.remote[0]) if flow.secure else None
    try:
        context = tls.client() if flow.secure else None
        async with TimeLimit(CONNECT_S):
            _, writer = await asyncio.open_connection(*flow.remote, ssl=context, server_hostname=name)
    except SipagentError as error:
        return str(error)
    except ssl.SSLError as error:
        return f"{_place(flow)}: no TLS: {explain(error)}"
    except TimeoutError:
        return f"{_place(flow)} does not answer; a firewall may stand between"
    except ConnectionRefusedError:
        return f"{_place(flow)} refuses the connection: nothing listens there"
    except OSError as error:
        return f"{_place(flow)} can't be reached: {error.strerror or error}"
    writer.close()
    with suppress(OSError, ssl.SSLError):  # it is of no consequence how it takes our goodbye
        await writer.wait_closed()
    return None


async def _explain_silence(flow: Flow) -> str:
    """Say why no answer came; that nothing listens on a port is only told to a socket that is connected to it."""
    if not flow.reliable:
        family = socket.AF_INET6 if ":" in flow.remote[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(flow.remote)
                probe.send(b"\r\n\r\n")
                async with TimeLimit(REFUSAL_S):
                    await asyncio.get_running_loop().sock_recv(probe, 1)
            except ConnectionRefusedError:
                return f"{_place(flow)} refuses: nothing listens there"
            except TimeoutError:
                return f"{_place(flow)} does not answer; is the address right, and no firewall between?"
            except OSError as error:
                return f"{_place(flow)} can't be reached: {error.strerror or error}"
    return f"{_place(flow)} does not answer"


def _place(flow: Flow) -> str:
    return f"{flow.transport} {flow.remote[0]}:{flow.remote[1]}"
