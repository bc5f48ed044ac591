"""Kamailio as the PBX: a registrar and a proxy that stays in the dialog, on free ports of the loopback.

The configuration is our own. Every request that comes in is a line in its log, by which the tests count them. Users,
passwords and the table of locations live in memory: whoever restarts it finds nobody registered.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import trustme
from ending import Stoppable
from program import free_port

Algorithm: TypeAlias = Literal["MD5", "SHA-256"]
Transport: TypeAlias = Literal["udp", "tcp", "tls", "ws", "wss"]

HOST = "127.0.0.1"
REALM = "pbx.example.com"
START_S = 15.0
STOP_S = 5.0
SHARED_MB, PRIVATE_MB = 32, 4

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"  # where Debian has it, and a user's PATH has not

CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
alias={host}:5060 # of those who leave out the port
enable_tls=yes
tcp_connection_lifetime=600
tcp_accept_no_cl=yes
listen=udp:{host}:{udp}
listen=tcp:{host}:{tcp}
listen=tls:{host}:{tls}
listen=tcp:{host}:{ws}
listen=tls:{host}:{wss}
user_agent_header="User-Agent: kamailio"

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "htable.so"
loadmodule "nathelper.so"
loadmodule "tls.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"

modparam("tls", "config", "{folder}/tls.cfg")
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 5)
modparam("usrloc", "preload", "location")
modparam("registrar", "max_expires", {max_expires})
modparam("registrar", "min_expires", {min_expires})
modparam("registrar", "received_avp", "$avp(received)")
modparam("nathelper", "received_avp", "$avp(received)")
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 1)
modparam("auth", "nonce_expire", {nonce_s})
modparam("auth", "nc_array_size", 131072)
modparam("htable", "htable", "users=>size=4;")
modparam("rr", "append_fromtag", 1)
modparam("tm", "fr_timer", 10000)
modparam("tm", "fr_inv_timer", 60000)

event_route[htable:mod-init] {{
{users}
}}

event_route[xhttp:request] {{
    if ($hdr(Upgrade) =~ "websocket" && ws_handle_handshake()) {{
        exit;
    }}
    xhttp_reply("404", "Not Found", "", "");
}}

event_route[websocket:closed] {{
    xlog("L_NOTICE", "WEBSOCKET closed\\n");
}}

request_route {{
    xlog("L_NOTICE", "REQUEST $rm from $fU over $proto $si:$sp expires $hdr(Expires) to $ru\\n");
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{
            t_relay();
        }}
        exit;
    }}
    if (is_method("REGISTER")) {{
        route(REGISTER);
    }}
    if (has_totag()) {{
        route(WITHIN);
    }}
    if (is_method("OPTIONS") && $rU == $null) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    route(IDENTIFY);
    if (is_method("INVITE|SUBSCRIBE|REFER")) {{
        record_route();
    }}
    if ($proto =~ "tcp|tls|ws|wss" && is_method("INVITE")) {{
        add_contact_alias();
    }}
    route(LOCATE);
}}

route[REGISTER] {{
    if (!pv_www_authenticate("{realm}", "$sht(users=>$fU)", "0")) {{
        www_challenge("{realm}", "1");
        exit;
    }}
    consume_credentials();
    fix_nated_register();
    if (!save("location")) {{
        sl_reply_error();
    }}
    exit;
}}

# Whoever has a password here must show it; from others, calls come in as from a trunk.
route[IDENTIFY] {{
    if (is_method("ACK") || $sht(users=>$fU) == $null) {{
        return;
    }}
    if ($ua =~ "pyVoIP") {{ # which knows no 407
        if (!pv_www_authenticate("{realm}", "$sht(users=>$fU)", "0")) {{
            www_challenge("{realm}", "1");
            exit;
        }}
    }} else {{
        if (!pv_proxy_authenticate("{realm}", "$sht(users=>$fU)", "0")) {{
            proxy_challenge("{realm}", "1");
            exit;
        }}
    }}
    consume_credentials();
}}

route[WITHIN] {{
    if (loose_route()) {{
        handle_ruri_alias();
        if (is_method("INVITE|UPDATE") && $proto =~ "tcp|tls|ws|wss") {{
            add_contact_alias();
        }}
        if (is_method("NOTIFY|REFER")) {{
            record_route();
        }}
        route(RELAY);
    }}
    if (is_method("ACK") && t_check_trans()) {{
        t_relay();
        exit;
    }}
    route(LOCATE); # a peer that forgot the route
}}

route[LOCATE] {{
    if (uri == myself && $rU != $null) {{
        if (!lookup("location")) {{
            if (!is_method("ACK")) {{
                sl_send_reply("404", "Not Found");
            }}
            exit;
        }}
    }}
    route(RELAY);
}}

route[RELAY] {{
    t_on_reply("ANSWER");
    if (!t_relay()) {{
        sl_reply_error();
    }}
    exit;
}}

onreply_route[ANSWER] {{
    xlog("L_NOTICE", "RESPONSE $rs to $rm over $proto $si:$sp\\n");
    if ($proto =~ "tcp|tls|ws|wss") {{
        add_contact_alias();
    }}
}}
"""

TLS_CONFIG = """\
[server:default]
method = TLSv1.2+
verify_certificate = {verify}
require_certificate = {verify}
private_key = {folder}/key.pem
certificate = {folder}/certificate.pem
ca_list = {folder}/ca.pem

[client:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
private_key = {folder}/key.pem
certificate = {folder}/certificate.pem
ca_list = {folder}/ca.pem
"""

_REQUEST = re.compile(r"REQUEST (?P<method>\S+) from (?P<user>\S+) over (?P<transport>\S+) ")


class Authority:
    """Who certifies every party of a test: files in PEM."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.certificate, self.key = (folder / f"{name}.pem" for name in ("ca", "certificate", "key"))
        authority = trustme.CA()
        issued = authority.issue_cert(HOST, "localhost", REALM)
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


class Kamailio(Stoppable):
    """A PBX; use it as ``with``.

    :param users: the password of each.
    :param max_expires_s: what it grants at most.
    :param demands_certificate: whether it asks a TLS client for one of :attr:`authority`.
    """

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        *,
        algorithm: Algorithm = "MD5",
        max_expires_s: int = 600,
        min_expires_s: int = 5,
        nonce_s: int = 30,
        demands_certificate: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._algorithm = algorithm
        self._expires = {"max_expires": max_expires_s, "min_expires": min_expires_s, "nonce_s": nonce_s}
        self.users = dict(users)
        self.ports: dict[Transport, int] = {name: free_port() for name in ("udp", "tcp", "tls", "ws", "wss")}
        self.authority = Authority(folder)
        tls = TLS_CONFIG.format(folder=folder, verify="yes" if demands_certificate else "no")
        (folder / "tls.cfg").write_text(tls)
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def uri(self, user: str, transport: Transport = "udp") -> str:
        """The URI by which somebody over this transport calls ``user``."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{user}@{HOST}:{self.ports[transport]}{suffix}"

    def server(self, transport: Transport = "udp") -> str:
        """The URI of the registrar over this transport."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{HOST}:{self.ports[transport]}{suffix}"

    def start(self) -> None:
        """Start it on the same ports as before, with nobody registered and :attr:`users` as they are now."""
        (self._folder / "kamailio.cfg").write_text(self._config())
        self._process = subprocess.Popen(
            [
                "kamailio", "-f", str(self._folder / "kamailio.cfg"), "-DD", "-E", "-e", "-m", str(SHARED_MB),
                "-M", str(PRIVATE_MB), "-Y", str(self._folder), "-w", str(self._folder),
            ],
            env={**os.environ, "PATH": PATH},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_it_listens()

    def stop(self) -> None:
        """End it, and everything it knows."""
        if self._process is None:
            return
        group = self._process.pid
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(group, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None

    def restart(self) -> None:
        """End it and start it again, which takes about a second."""
        self.stop()
        self.start()

    @property
    def log(self) -> list[str]:
        """What it has logged so far, over all its lives."""
        with self._news:
            return list(self._lines)

    def requests(self, method: str, user: str | None = None, *, since: int = 0) -> list[re.Match[str]]:
        """The requests of this method that came in, by the line; ``since`` is a length of :attr:`log`."""
        found = (_REQUEST.search(line) for line in self.log[since:])
        return [one for one in found if one and one["method"] == method and user in (None, one["user"])]

    def wait_for(self, text: str, *, since: int = 0, timeout_s: float = 10.0) -> str:
        """Return the first line with this text from ``since`` on.

        :raises TimeoutError: when none comes.
        """

        def find() -> str | None:
            return next((line for line in self._lines[since:] if text in line), None)

        with self._news:
            self._news.wait_for(find, timeout_s)
            found = find()
            tail = "".join(self._lines[-20:])
        if found is None:
            raise TimeoutError(f"{text!r} is not in Kamailio's log after {timeout_s} s:\n{tail}")
        return found

    def _config(self) -> str:
        users = "\n".join(f'    $sht(users=>{user}) = "{password}";' for user, password in self.users.items())
        return CONFIG.format(
            host=HOST, folder=self._folder, realm=REALM, algorithm=self._algorithm, users=users, **self.ports,
            **self._expires,
        )  # fmt: skip

    def _wait_until_it_listens(self) -> None:
        """Its TCP ports answer once its processes run."""
        assert self._process is not None
        deadline = threading.Event()
        for _ in range(int(START_S / 0.05)):
            try:
                socket.create_connection((HOST, self.ports["tcp"]), timeout=START_S).close()
            except OSError:
                if self._process.poll() is not None:
                    break
                deadline.wait(0.05)
            else:
                return
        raise TimeoutError("Kamailio does not start:\n" + "".join(self.log[-20:]))

    def _read(self) -> None:
        assert self._process is not None
        for line in self._process.stderr or ():
            with self._news:
                self._lines.append(line)
                self._news.notify_all()


def is_installed() -> bool:
    """Whether it can be started here."""
    return shutil.which("kamailio", path=PATH) is not None
