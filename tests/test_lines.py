"""From the lines of a file to the accounts of the user agent."""

from pathlib import Path

import pytest

from sipagent.config import load
from sipagent.errors import SipagentError
from sipagent.lines import make_account, make_accounts
from sipagent.sip.account import Account

FILE = """\
lines:
  - {{name: main, agent: a{settings}}}
agents:
  a: {{engine: e, instructions: Be kind.}}
engines:
  e: {{}}
"""


def account(folder: Path, settings: str) -> Account:
    file = folder / "config.yaml"
    file.write_text(FILE.format(settings=settings and f", {settings}"))
    return make_account(load(file, {}).lines[0])


def test_an_extension(tmp_path: Path) -> None:
    got = account(tmp_path, 'domain: pbx.example.com, user: "100", password: secret')
    assert (got.name, str(got.address)) == ("main", "sip:100@pbx.example.com")
    assert [str(one) for one in got.registrars] == ["sip:pbx.example.com"]
    assert got.credentials is not None
    assert (got.credentials.username, got.credentials.password, got.credentials.realm) == ("100", "secret", None)
    assert got.instance.startswith("urn:uuid:")
    assert got.contact_user.startswith("100-")


def test_the_contact_is_the_same_after_a_restart_and_nobody_elses(tmp_path: Path) -> None:
    same = 'domain: pbx.example.com, user: "100", password: secret'
    first = account(tmp_path, same)
    assert account(tmp_path, same).contact_user == first.contact_user
    others = [same.replace("secret", "other"), same.replace('"100"', '"101"'), same.replace("pbx", "pbx2")]
    assert len({first.contact_user, *(account(tmp_path, other).contact_user for other in others)}) == 4


def test_everything_else(tmp_path: Path) -> None:
    got = account(
        tmp_path,
        'domain: "pbx.example.com:5080", user: u, password: p, auth_user: login, realm: r, caller_id: Clocks, '
        "registrars: [one.example.com, two.example.com], outbound_proxy: edge.example.com, transport: tls, "
        "expires_s: 60",
    )
    assert [str(one) for one in got.registrars] == [
        "sip:one.example.com;transport=tls",
        "sip:two.example.com;transport=tls",
    ]
    assert str(got.outbound_proxy) == "sip:edge.example.com;transport=tls"
    assert got.credentials is not None
    assert (got.credentials.username, got.credentials.realm) == ("login", "r")
    assert (got.display_name, got.expires_s, str(got.address)) == ("Clocks", 60, "sip:u@pbx.example.com:5080")


@pytest.mark.parametrize("settings", ["domain: pbx.example.com", "domain: pbx.example.com, user: u, register: false"])
def test_a_trunk_that_knows_us_by_our_address_does_not_register(tmp_path: Path, settings: str) -> None:
    got = account(tmp_path, settings)
    assert got.registrars == ()
    assert got.credentials is None


def test_a_line_without_a_domain_is_no_account(tmp_path: Path) -> None:
    with pytest.raises(SipagentError, match="line main has no domain"):
        account(tmp_path, "")
    assert make_accounts(load(tmp_path / "config.yaml", {})) == []


def test_the_example_is_an_extension() -> None:
    config = load(Path(__file__).parents[1] / "examples" / "extension.yaml", {})
    (got,) = make_accounts(config)
    assert (str(got.address), got.name) == ("sip:100@127.0.0.1:5060", "extension")
    assert "secret" in [secret.reveal() for secret in config.secrets]
