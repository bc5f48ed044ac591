"""A certificate for the model of one run: the program under test is told to trust it, and nobody else is."""

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple

from sipagent.bench.plan import HOST
from sipagent.errors import SipagentError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    _is_there = True
except ImportError:
    _is_there = False

MISSING = "TLS needs a certificate, which takes cryptography: pip install 'sipagent[webrtc]'"
VALID = datetime.timedelta(days=1)
NAME = "model of the bench"


class Certificate(NamedTuple):
    """Two files."""

    chain: Path
    """What is to be trusted, too."""
    key: Path

    def context(self) -> ssl.SSLContext:
        """For the model's server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def make_certificate(folder: Path, *, now: datetime.datetime) -> Certificate:
    """Write it into a folder.

    :raises SipagentError: when what makes it is not installed.
    """
    if not _is_there:
        raise SipagentError(MISSING)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(folder / "bench-model.pem", folder / "bench-model.key")
    files.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
