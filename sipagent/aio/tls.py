"""TLS of SIP's connections: the certificates as they are in their files now, and the layer between socket and framing.

A server must show a certificate for the domain that led us to it, not for the host that DNS named
(:rfc:`5922#section-7.2`). Wildcards count, although that RFC forbids them: the big trunks have such certificates. Files
that change are read again before the next handshake; what is up stays up.
"""

import ssl
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import NoReturn

from sipagent.aio.log import get_logger
from sipagent.config.settings import TlsConfig
from sipagent.errors import SipagentError

READ_SIZE = 65_536

SOON_S = 14 * 86_400
"""Whoever renews certificates by a machine has done it by then."""

SYSTEM = "the system's certificate authorities"

UTC_TIME, GENERALIZED_TIME, VERSION = 0x17, 0x18, 0xA0
"""Tags of DER (X.690): a date with two digits of the year, one with four, and a certificate's ``[0]``."""


class Tls:
    """Our certificates and those we trust.

    :param config: which files; without any we present none and trust whom the system trusts.
    """

    def __init__(self, config: TlsConfig | None = None) -> None:
        config = config or TlsConfig()
        own = (config.certificate, config.key)
        shown = (config.client_certificate, config.client_key)
        self._server = _Kept(lambda: _make_server_context(config), (*own, config.ca))
        self._client = _Kept(lambda: _make_client_context(config), (*shown, config.ca))

    def server(self) -> ssl.SSLContext:
        """Return what a connection that comes in is secured with.

        :raises SipagentError: when the files, read for the first time, don't serve; the message says which and why.
        """
        return self._server.get()

    def client(self) -> ssl.SSLContext:
        """Return what a connection that goes out is secured with; errors as :meth:`server`. To make it takes 20 ms."""
        return self._client.get()

    def reload(self) -> None:
        """Read the files again before the next handshake, whether or not they look changed."""
        self._server.forget()
        self._client.forget()


class _Kept:
    """A context, and the state of the files that it was made from."""

    def __init__(self, make: Callable[[], ssl.SSLContext], files: tuple[Path | None, ...]) -> None:
        self._make = make
        self._files = [file for file in files if file is not None]
        self._context: ssl.SSLContext | None = None
        self._state: list[tuple[int, ...]] | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context; while new files don't serve, such as a certificate before its key, the old one."""
        state = [_state_of(file) for file in self._files]
        if self._context is None:
            self._context, self._state = self._make(), state
        elif state != self._state:
            self._state = state
            try:
                self._context = self._make()
            except SipagentError as error:
                get_logger().error("tls_files_refused", reason=str(error))
            else:
                get_logger().info("tls_files_read", files=[str(file) for file in self._files] or SYSTEM)
        return self._context

    def forget(self) -> None:
        """Look as if the files had changed."""
        self._state = None


def _state_of(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _make_server_context(config: TlsConfig) -> ssl.SSLContext:
    if config.certificate is None:
        raise SipagentError("sip.tls.certificate: tls: and wss: need one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # who asks for handshake after handshake keeps us from the calls
    _load_certificate(context, "", config.certificate, config.key)
    if config.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(context, config.ca)
    return context


def _make_client_context(config: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.verify:
        _load_authorities(context, config.ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate is not None:
        _load_certificate(context, "client_", config.client_certificate, config.client_key)
    return context


def _load_certificate(context: ssl.SSLContext, prefix: str, certificate: Path, key: Path | None) -> None:
    """Load a chain and its key, which may be in the same file, and warn when its time is over."""
    text = _read(f"sip.tls.{prefix}certificate", certificate)
    where = f"sip.tls.{prefix}key: {key}" if key is not None else f"sip.tls.{prefix}certificate: {certificate}"
    if key is not None:
        _read(f"sip.tls.{prefix}key", key)
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_password(where))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SipagentError(f"{where}: not the key of the certificate in {certificate}") from error
        files = str(certificate) if key is None else f"{certificate} and {key}"
        raise SipagentError(f"{where}: expected a certificate and its key, in PEM, in {files}") from error
    _warn_of_age(certificate, expires_at(text))


def _refuse_password(where: str) -> NoReturn:
    raise SipagentError(f"{where}: the key is encrypted, and there is nobody to ask for its password")


def _load_authorities(context: ssl.SSLContext, file: Path | None) -> None:
    """Trust those in the file and nobody else; without a file those whom the system trusts."""
    if file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    _read("sip.tls.ca", file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise SipagentError(f"sip.tls.ca: {file}: expected certificates in PEM") from error


def _read(setting: str, file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise SipagentError(f"{setting}: {file}: {error.strerror}") from error


def _warn_of_age(file: Path, expires: datetime | None) -> None:
    if expires is None:
        return
    left_s = expires.timestamp() - time()
    if left_s < SOON_S:
        event = "certificate_expired" if left_s < 0 else "certificate_expires_soon"
        get_logger().warning(event, file=str(file), on=expires.isoformat(sep=" ", timespec="minutes"))


def expires_at(text: str) -> datetime | None:
    """Return until when the first certificate of a PEM file is valid; ``None`` when that can't be read.

    Python tells it only of certificates that it has verified. The date is the second of ``validity``, the fourth part
    of what is signed (:rfc:`5280#section-4.1`), or the fifth where a version comes first.
    """
    try:
        body = text.split("-----BEGIN CERTIFICATE-----", 1)[1].split("-----END CERTIFICATE-----", 1)[0]
        certificate = _parts(_parts(b64decode(body))[0][1])
        signed = _parts(certificate[0][1])
        validity = _parts(signed[4 if signed[0][0] == VERSION else 3][1])
        tag, date = validity[1]
        pattern = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
        return datetime.strptime(date.decode(), pattern).replace(tzinfo=UTC)
    except (ValueError, LookupError):
        return None


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """Split DER into the tags and contents that it is made of, one level deep."""
    parts, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length > 0x7F:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        parts.append((tag, data[at : at + length]))
        at += length
    return parts


class TlsLayer:
    """TLS of one connection, without its socket: octets in, octets out.

    The loops' own TLS tells of a connection only after its handshake. Here it is known, and counted, from the start,
    one deadline holds for all its layers, and the certificates are those of this moment.

    :param name: whose certificate the server must show; ``None`` where we are the server.
    :raises OSError: for a name that can be nobody's.
    """

    def __init__(self, context: ssl.SSLContext, *, name: str | None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._in, self._out, server_side=name is None, server_hostname=name)
        except ValueError as error:
            raise OSError(f"{name} is no name that a certificate could have") from error
        self.is_open = False
        """The handshake is done."""
        self.is_over = False
        """The peer has said goodbye."""

    def receive_data(self, data: bytes) -> bytes:
        """Take what the socket brought, none to begin with, and return what was meant by it.

        :raises ssl.SSLError: when it is no TLS, or the peer is not who it should be: :meth:`pop_output` tells it why.
        """
        self._in.write(data)
        if not self.is_open:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.is_open = True
        return b"".join(iter(self._read, b""))

    def send(self, data: bytes) -> None:
        """Encrypt.

        :raises ssl.SSLError: when nothing can be sent any more.
        """
        self._tls.write(data)

    def pop_output(self) -> bytes:
        """Return what is to go into the socket."""
        return self._out.read()

    def close(self) -> None:
        """Say goodbye; the peer's own is not waited for."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):  # it wants the peer's answer, or the handshake was never done
            return

    def _read(self) -> bytes:
        try:
            data = self._tls.read(READ_SIZE)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            data = b""
        self.is_over = not data
        return data


def explain(error: ssl.SSLError) -> str:
    """Say why a handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
