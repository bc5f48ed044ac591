"""What a REGISTER holds, with a binding and without."""

from random import Random

from sip.test_registration import make_account

from sipagent.sip.core import Core, UserAgentSettings
from sipagent.sip.line import Line
from sipagent.sip.message import Request
from sipagent.sip.register import binding_headers, make_register
from sipagent.sip.uri import Uri

CORE = Core(UserAgentSettings(), Random(1))
LINE = Line(make_account(), random=Random(2))


def make(line: Line = LINE, expires_s: int | None = None, *, has_outbound: bool = True) -> Request:
    headers = () if expires_s is None else binding_headers(CORE, line, expires_s, has_outbound=has_outbound)
    return make_register(CORE, line, headers, call_id="c", sequence=7)


def test_a_question_has_no_contact() -> None:
    register = make()
    assert str(register.uri) == "sip:example.com"
    names = [name for name, _ in register.headers.items()]
    assert names == ["Max-Forwards", "From", "To", "Call-ID", "CSeq", "User-Agent"]
    assert (register.call_id, str(register.cseq)) == ("c", "7 REGISTER")


def test_a_binding_says_for_how_long_and_which_flow() -> None:
    register = make(expires_s=60)
    contact = register.contact
    assert contact is not None
    assert list(contact.parameters) == ["expires", "+sip.instance", "reg-id"]
    assert (register.headers.get("Expires"), register.supported) == ("60", ["path", "outbound"])


def test_the_flow_is_left_out_where_it_is_not_wanted_or_we_have_no_name() -> None:
    nameless = Line(make_account(instance=""), random=Random(2))
    for register in (make(expires_s=60, has_outbound=False), make(nameless, 60)):
        assert register.contact is not None
        assert list(register.contact.parameters) == ["expires"]


def test_a_port_of_the_domain_is_part_of_it_and_a_user_is_not() -> None:
    line = Line(make_account(address=Uri.parse("sip:100@127.0.0.1:5080")), random=Random(2))
    assert str(make(line).uri) == "sip:127.0.0.1:5080"
    assert str(make(line).to.uri) == "sip:100@127.0.0.1:5080"
