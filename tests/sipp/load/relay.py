"""A UDP relay that loses what it is told to lose, the same of the same calls whenever it runs.

Whether a message is lost depends on the seed, the direction, what message of what call it is, and the how manieth copy:
not on when it comes, nor on what else is on its way. So a run can be repeated, however busy the machine.
"""

import asyncio
import re
from collections import Counter
from hashlib import blake2b
from typing import Protocol, TypeAlias

Address: TypeAlias = tuple[str, int]

_CALL_ID = re.compile(rb"\r\nCall-ID: *([^\r\n]*)", re.IGNORECASE)
_CSEQ = re.compile(rb"\r\nCSeq: *([^\r\n]*)", re.IGNORECASE)


class Relay:
    """Between one caller and one server.

    :param loss: of all messages, each way; from 0 to 1.
    """

    def __init__(self, server: Address, *, loss: float, seed: int) -> None:
        self._server = server
        self._loss = loss
        self._seed = seed
        self._caller: Address | None = None
        self._copies: Counter[bytes] = Counter()
        self._outside = _End(self._from_caller)
        self._inside = _End(self._from_server)
        self.passed: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    async def open(self, host: str) -> Address:
        """Listen; return the address that the caller is to take for the server's."""
        loop = asyncio.get_running_loop()
        for end in (self._outside, self._inside):
            await loop.create_datagram_endpoint(lambda end=end: end, local_addr=(host, 0))  # type: ignore[misc]
        name = self._outside.transport.get_extra_info("sockname")
        return (name[0], name[1])

    def close(self) -> None:
        """Close both sockets."""
        self._outside.transport.close()
        self._inside.transport.close()

    def _from_caller(self, data: bytes, source: Address) -> None:
        self._caller = source
        if self._survives("out", data):
            self._inside.transport.sendto(data, self._server)

    def _from_server(self, data: bytes, _source: Address) -> None:
        if self._caller is not None and self._survives("back", data):
            self._outside.transport.sendto(data, self._caller)

    def _survives(self, direction: str, data: bytes) -> bool:
        name = b" ".join([direction.encode(), *identify(data)])
        self._copies[name] += 1
        text = f"{self._seed} {self._copies[name]} ".encode() + name
        chance = int.from_bytes(blake2b(text, digest_size=8).digest()) / 2**64
        (self.lost if chance < self._loss else self.passed)[direction] += 1
        return chance >= self._loss


class _Received(Protocol):
    def __call__(self, data: bytes, source: Address, /) -> None: ...


class _End(asyncio.DatagramProtocol):
    """One of its sockets."""

    transport: asyncio.DatagramTransport

    def __init__(self, received: _Received) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data, addr)


def identify(data: bytes) -> list[bytes]:
    """What tells a message from all others, and is the same in its copies, and whenever the same call is made."""
    line = data.split(b"\r\n", 1)[0].split(b" ")
    kind = line[1] if line[0] == b"SIP/2.0" else line[0]
    fields = (pattern.search(data) for pattern in (_CALL_ID, _CSEQ))
    return [kind, *(match[1] if match else b"" for match in fields)]
