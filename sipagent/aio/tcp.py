"""A TCP connection without a detour: uvloop looks up whatever it connects to in another thread, even an address.

On one core that thread takes the processor from all calls for a moment. So an address is connected to at once here, and
a name is looked up once and not twice.
"""

import asyncio
import errno
import os
import socket
from ipaddress import ip_address
from typing import Any, TypeAlias

Place: TypeAlias = tuple[socket.AddressFamily, Any]
"""A family, and an address as sockets of it take it."""


async def connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that takes us.

    :raises OSError: of the last one, when none does; also when there is no such host.
    """
    refusal = OSError(errno.EHOSTUNREACH, f"{host} has no address")
    for family, address in await _look_up(host, port):
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            await _connect(opened, address)
        except OSError as error:
            opened.close()
            refusal = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise refusal


async def _look_up(host: str, port: int) -> list[Place]:
    try:
        version = ip_address(host).version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


async def _connect(opened: socket.socket, address: Any) -> None:
    opened.setblocking(False)
    code = opened.connect_ex(address)
    if code == errno.EINPROGRESS:
        await _writable(opened)
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


async def _writable(opened: socket.socket) -> None:
    """Wait until it is decided whether there is a connection."""
    loop = asyncio.get_running_loop()
    decided = loop.create_future()
    loop.add_writer(opened.fileno(), _decide, decided)
    try:
        await decided
    finally:
        loop.remove_writer(opened.fileno())


def _decide(decided: "asyncio.Future[None]") -> None:
    if not decided.done():
        decided.set_result(None)
