"""A REGISTER (:rfc:`3261#section-10.2`)."""

from sipagent.sip.core import NOWHERE, Core, HeaderList
from sipagent.sip.dialog import MAX_FORWARDS
from sipagent.sip.headers import CSeq, Headers, NameAddr
from sipagent.sip.line import Line
from sipagent.sip.message import Request
from sipagent.sip.uri import Parameters, Uri


def make_register(core: Core, line: Line, headers: HeaderList = (), *, call_id: str, sequence: int) -> Request:
    """Build one for the domain of a line; where a nonce was good it carries credentials at once.

    :param headers: what it is about; without any it asks what is registered, and changes nothing.
    """
    address = line.account.address
    us = NameAddr(None, address)
    domain = Uri(address.scheme, None, None, address.host, address.port)
    fields = [
        ("Max-Forwards", MAX_FORWARDS),
        *(("Route", str(route)) for route in line.proxy_route()),
        ("From", str(us.with_tag(core.new_identifier()))),
        ("To", str(us)),
        ("Call-ID", call_id),
        ("CSeq", str(CSeq(sequence, "REGISTER"))),
        *headers,
        ("User-Agent", core.settings.user_agent),
        *(line.digest.authorize("REGISTER", str(domain), b"") if line.digest is not None else ()),
    ]
    return Request("REGISTER", domain, Headers(fields))


def binding_headers(core: Core, line: Line, expires_s: int, *, has_outbound: bool) -> HeaderList:
    """Return what a REGISTER says to bind our Contact, or to take it back; each target gets an address of its own.

    :param has_outbound: whether we say which of our flows this is (:rfc:`5626#section-4.2.1`).
    """
    parameters = [("expires", str(expires_s))]
    if has_outbound and line.account.instance:
        parameters += [("+sip.instance", f"<{line.account.instance}>"), ("reg-id", "1")]
    contact = NameAddr(None, core.contact_uri(NOWHERE, line), Parameters(parameters))
    return [
        ("Contact", str(contact)),
        ("Expires", str(expires_s)),
        ("Supported", "path, outbound" if has_outbound else "path"),
    ]
