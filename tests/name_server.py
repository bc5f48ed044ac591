"""A name server on the loopback: it answers from a zone, keeps silent, or fails, and counts what it is asked."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from loopback import HOST

Zone = Mapping[str, Sequence[str]]
"""``"SRV _sip._udp.example.com"`` → records as a zone file has them."""


class NameServer:
    """One server; ``zone`` may be changed while it runs."""

    def __init__(self, zone: Zone, *, ttl: int = 60, host: str = HOST, port: int = 0) -> None:
        self.zone = dict(zone)
        self.ttl = ttl
        self.silent: set[str] = set()
        """Kinds of query that get no answer."""
        self.failing: set[str] = set()
        """Kinds of query that get SERVFAIL."""
        self.asked: list[str] = []
        self.heard = asyncio.Event()
        """Set whenever a query comes."""
        self._held: list[tuple[bytes, tuple[str, int]]] = []
        self._is_holding = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def configure(self, directory: Path, *, servers: Sequence[str] = (HOST,)) -> Path:
        """Write a resolv.conf that names these servers, all at our port."""
        path = directory / "resolv.conf"
        path.write_text("".join(f"nameserver {server}\n" for server in servers))
        return path

    def hold(self) -> None:
        """Keep the answers until :meth:`let_go`."""
        self._is_holding = True

    def let_go(self) -> None:
        """Send what was kept, and keep no more."""
        self._is_holding = False
        for answer, source in self._held:
            self._socket.sendto(answer, source)
        self._held.clear()

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _on_readable(self) -> None:
        data, source = self._socket.recvfrom(4_096)
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append(f"{kind} {name}")
        self.heard.set()
        if kind in self.silent:
            return
        answer = self._answer(query, kind, name).to_wire()
        if self._is_holding:
            self._held.append((answer, source))
        else:
            self._socket.sendto(answer, source)

    def _answer(self, query: dns.message.Message, kind: str, name: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        records = self.zone.get(f"{kind} {name}")
        if kind in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            response.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *records))
        elif not any(key.split()[1].endswith(name) for key in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
