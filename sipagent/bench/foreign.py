"""Another bridge under test: it is called, and judged by what can be seen from outside."""

import socket
from types import TracebackType
from typing import Self

from sipagent.bench.generator import Target
from sipagent.bench.process import Usage, read_usage
from sipagent.errors import RemoteProtocolError, SipagentError
from sipagent.sip.uri import Uri

SIP_PORT = 5060


class Foreign:
    """In place of a :class:`~sipagent.bench.program.Program`; nobody starts or ends it.

    :param uri: whom to call, over UDP.
    :param pid: its process, when it is on this machine and its time and memory are to be told.
    :raises SipagentError: when it is no SIP URI, or there is no way there.
    """

    def __init__(self, uri: str, *, pid: int | None = None) -> None:
        self._pid = pid
        self.name = uri
        self.target = find_target(uri)

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """It goes on."""

    def check(self) -> None:
        """Make sure that its process is there.

        :raises SipagentError: when it is not.
        """
        self.usage()

    def usage(self, *, with_descriptors: bool = False) -> Usage | None:
        """What it has taken so far; ``None`` when we know no process of it."""
        if self._pid is None:
            return None
        try:
            return read_usage(self._pid, with_descriptors=with_descriptors)
        except OSError as error:
            raise SipagentError(f"there is no process {self._pid}, or it is not ours to look at") from error


def find_target(uri: str) -> Target:
    """Find out where a URI is, and which of our addresses it reaches.

    :raises SipagentError: when that can't be.
    """
    try:
        parsed = Uri.parse(uri if uri.startswith("sip:") else f"sip:{uri}")
    except RemoteProtocolError as error:
        raise SipagentError(f"{uri!r} is no SIP URI: {error}") from error
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            parsed.host, parsed.port or SIP_PORT, socket.AF_INET, socket.SOCK_DGRAM
        )
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            host = str(probe.getsockname()[0])
    except OSError as error:
        raise SipagentError(f"there is no way to {parsed.host} by IPv4: {error}") from error
    where = (str(address[0]), int(address[1]))
    return Target(where, user=parsed.user or "agent", host=host, is_marked=False)
