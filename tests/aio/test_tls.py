import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

import pytest
import trustme
from connections import NAME, Authority, Bench, Peer, answering, connect, listening
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from loopback import HOST, Clean, options, until, within
from structlog.testing import capture_logs

from sipagent.aio import connection as connection_module
from sipagent.aio import stream as stream_module
from sipagent.aio.tls import Tls, TlsLayer, expires_at
from sipagent.config import TlsConfig
from sipagent.errors import SipagentError
from sipagent.sip.events import Flow


def ends(bench: Bench) -> list[tuple[str, tuple[str, int]]]:
    """The flows that failed, by what tells them apart."""
    return [(flow.transport, flow.remote) for flow in bench.failed]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class TestIncoming:
    def test_messages_go_both_ways_and_nothing_below_1_2(self, run: Clean, authority: Authority) -> None:
        tls = authority.tls()

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                peer = await connect(bench, tls=authority.client())
                message = options(bench.port, transport="TLS")
                peer.send(message[:7])
                peer.send(message[7:] + message)
                data, flow = await bench.next()
                assert (data, (await bench.next())[0]) == (message, message)
                assert flow == Flow("TLS", tuple(peer.address[:2]), (HOST, bench.port))
                assert (flow.secure, flow.name) == (True, "")
                bench.streams.send(b"answer", flow)
                assert await peer.read(6) == b"answer"
                assert peer.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
                await peer.close()
                await until(lambda: bench.failed)
                assert bench.failed == [flow]

        run(main())
        for context in (tls.server(), tls.client()):
            assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    def test_over_ipv6(self, run: Clean, authority: Authority) -> None:
        tls = authority.tls()

        async def main() -> None:
            async with listening("TLS", host="::1", tls=tls) as bench:
                there = Bench(tls=tls)
                there.streams.send(options(bench.port), Flow("TLS", ("::1", bench.port)))
                _, flow = await bench.next()
                assert flow.remote[0] == "::1"
                bench.streams.send(options(bench.port, branch="back"), flow)
                assert b"back" in (await there.next())[0]
                await there.streams.close()

        run(main())

    def test_who_speaks_no_tls_is_closed_and_counted(self, run: Clean, authority: Authority) -> None:
        tls = authority.tls()

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                peer = await connect(bench)
                peer.send(options(bench.port))
                await peer.end()
                assert bench.messages.empty()
                assert bench.streams.broken == 1
                await peer.close()

        run(main())

    @pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01\x02\x00\x01"])
    def test_a_handshake_has_its_time(
        self, run: Clean, authority: Authority, monkeypatch: pytest.MonkeyPatch, octets: bytes
    ) -> None:
        monkeypatch.setattr(connection_module, "HANDSHAKE_S", 0.1)
        tls = authority.tls()

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                peer = await connect(bench)
                peer.send(octets)
                assert await peer.end() == b""
                assert bench.streams.broken == 1
                await peer.close()

        run(main())

    def test_who_shakes_hands_for_ever_counts_as_a_connection(
        self, run: Clean, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream_module, "MAX_CONNECTIONS_PER_HOST", 2)
        tls = authority.tls()

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                silent = [await connect(bench), await connect(bench)]
                refused = await connect(bench)
                assert await refused.end() == b""
                assert bench.streams.refused == 1
                for peer in (*silent, refused):
                    await peer.close()

        run(main())

    def test_only_whom_our_authority_vouches_for_when_that_is_required(
        self, run: Clean, authority: Authority, tmp_path: Path
    ) -> None:
        tls = authority.tls(require_client_certificate=True)
        (tmp_path / "others").mkdir()
        impostor = Authority(tmp_path / "others").issue("client", stem="impostor")

        async def try_with(bench: Bench, certificate: tuple[Path, Path] | None) -> bytes:
            peer = Peer(
                *await asyncio.open_connection(
                    HOST, bench.port, ssl=authority.client(certificate), server_hostname=NAME
                )
            )
            peer.send(options(bench.port))
            try:
                return await within(peer.reader.read())
            except (ssl.SSLError, ConnectionResetError):
                return b""
            finally:
                peer.writer.transport.abort()

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                for number, certificate in enumerate((None, impostor), 1):
                    assert await try_with(bench, certificate) == b""
                    await until(lambda number=number: bench.streams.broken == number)
                assert bench.messages.empty()
                peer = await connect(bench, tls=authority.client(authority.issue("client", stem="client")))
                peer.send(options(bench.port))
                await bench.next()
                await peer.close()

        run(main())

    def test_without_a_certificate_there_is_no_listener(self, run: Clean) -> None:
        async def main() -> None:
            with pytest.raises(SipagentError, match=r"sip\.tls\.certificate: tls: and wss: need one"):
                await Bench().streams.listen("TLS", (HOST, 0))

        run(main())


class TestOutgoing:
    def test_the_domain_is_asked_for_and_verified(self, run: Clean, authority: Authority) -> None:
        asked: list[str | None] = []
        context = authority.server(NAME)
        context.sni_callback = lambda _tls, name, _context: asked.append(name)

        async def main() -> None:
            async with answering(tls=context) as (port, peers):
                bench = Bench(tls=authority.tls())
                flow = Flow("TLS", (HOST, port), name=NAME)
                bench.streams.send(b"one", flow)
                bench.streams.send(b"two", flow)
                peer = await within(peers.get())
                assert await peer.read(6) == b"onetwo"
                peer.send(options(port))
                _, back = await bench.next()
                assert (back, back.name) == (Flow("TLS", (HOST, port), back.local), NAME)
                bench.streams.send(b"three", back)
                assert await peer.read(5) == b"three"
                assert peers.empty()
                await bench.streams.close()

        run(main())
        assert asked[0] == NAME
        assert len(asked) == 1

    @pytest.mark.parametrize(
        ("names", "name", "is_good"),
        [
            ((NAME,), NAME, True),
            ((NAME,), NAME.upper(), True),
            (("*.example.com",), NAME, True),
            (("*.example.com",), "a.b.example.com", False),
            (("example.com",), NAME, False),
            ((HOST,), "", True),
            ((HOST,), HOST, True),
            ((NAME,), "", False),
            (("127.0.0.2",), HOST, False),
            ((NAME,), "no good name", False),
        ],
    )
    def test_names(
        self, run: Clean, authority: Authority, names: tuple[str, ...], name: str, is_good: bool
    ) -> None:
        async def main() -> None:
            async with answering(tls=authority.server(*names)) as (port, peers):
                bench = Bench(tls=Tls(TlsConfig(ca=authority.file)))
                flow = Flow("TLS", (HOST, port), name=name)
                with capture_logs() as logs:
                    bench.streams.send(b"hello", flow)
                    if is_good:
                        assert await (await within(peers.get())).read(5) == b"hello"
                        assert (bench.failed, logs) == ([], [])
                    else:
                        await until(lambda: bench.failed)
                        assert ends(bench) == [(flow.transport, flow.remote)]
                        (log,) = logs
                        assert (log["event"], log["log_level"]) == ("connection_failed", "warning")
                        assert "certificate" in log["reason"]
                await bench.streams.close()

        run(main())

    @pytest.mark.parametrize("verify", [True, False])
    def test_an_authority_that_nobody_knows_is_believed_only_where_it_is_written(
        self, run: Clean, authority: Authority, verify: bool
    ) -> None:
        async def main() -> None:
            async with answering(tls=authority.server("somebody.else")) as (port, peers):
                bench = Bench(tls=Tls(TlsConfig(verify=verify)))
                flow = Flow("TLS", (HOST, port), name=NAME)
                bench.streams.send(b"hello", flow)
                if verify:
                    await until(lambda: bench.failed)
                    assert ends(bench) == [(flow.transport, flow.remote)]
                    assert peers.empty()
                else:
                    assert await (await within(peers.get())).read(5) == b"hello"
                await bench.streams.close()

        run(main())

    def test_a_connection_verified_for_one_name_is_not_used_for_another(self, run: Clean, authority: Authority) -> None:
        async def main() -> None:
            async with answering(tls=authority.server(NAME, "sip.example.org", HOST)) as (port, peers):
                bench = Bench(tls=authority.tls())
                for name in (NAME, "sip.example.org", ""):
                    flow = Flow("TLS", (HOST, port), name=name)
                    bench.streams.send(name.encode() or b"-", flow)
                    peer = await within(peers.get())
                    assert await peer.read(max(1, len(name))) == (name.encode() or b"-")
                    bench.streams.send(b"again", Flow("TLS", (HOST, port), name=name.upper()))
                    assert await peer.read(5) == b"again"
                    assert peers.empty()
                await bench.streams.close()

        run(main())

    def test_we_show_our_certificate_to_a_server_that_asks(self, run: Clean, authority: Authority) -> None:
        context = authority.server(NAME)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
        shown, key = authority.issue("us.example.com", stem="us")

        async def main() -> None:
            async with answering(tls=context) as (port, peers):
                flow = Flow("TLS", (HOST, port), name=NAME)
                shy = Bench(tls=Tls(TlsConfig(ca=authority.file)))
                shy.streams.send(b"hello", flow)
                await until(lambda: shy.failed)
                bench = Bench(tls=Tls(TlsConfig(ca=authority.file, client_certificate=shown, client_key=key)))
                bench.streams.send(b"hello", flow)
                peer = await within(peers.get())
                assert await peer.read(5) == b"hello"
                names = peer.writer.get_extra_info("peercert")["subjectAltName"]
                assert names == (("DNS", "us.example.com"),)
                await bench.streams.close()

        run(main())

    def test_a_server_that_shakes_no_hands_is_given_up(
        self, run: Clean, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream_module, "CONNECT_S", 0.2)

        async def main() -> None:
            async with answering() as (port, _):
                bench = Bench(tls=authority.tls())
                flow = Flow("TLS", (HOST, port), name=NAME)
                bench.streams.send(b"hello", flow)
                await until(lambda: bench.failed)
                assert ends(bench) == [(flow.transport, flow.remote)]

        run(main())

    def test_what_waits_for_a_handshake_is_bounded(
        self, run: Clean, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_module, "MAX_UNSENT", 1000)

        async def main() -> None:
            async with answering() as (port, _):
                bench = Bench(tls=authority.tls())
                flow = Flow("TLS", (HOST, port), name=NAME)
                bench.streams.send(bytes(900), flow)
                assert bench.failed == []
                bench.streams.send(bytes(900), flow)
                assert ends(bench) == [(flow.transport, flow.remote)]
                await bench.streams.close()

        run(main())

    def test_files_that_do_not_serve_fail_the_flow_and_say_so(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            async with answering() as (port, _):
                bench = Bench(tls=Tls(TlsConfig(ca=tmp_path / "none.pem")))
                flow = Flow("TLS", (HOST, port), name=NAME)
                with capture_logs() as logs:
                    bench.streams.send(b"hello", flow)
                    await until(lambda: bench.failed)
                assert "none.pem: No such file" in logs[0]["reason"]

        run(main())

    def test_a_ping_is_answered_and_told(self, run: Clean, authority: Authority) -> None:
        async def main() -> None:
            async with listening("TLS", tls=authority.tls()) as bench:
                there = Bench(tls=authority.tls())
                flow = Flow("TLS", (HOST, bench.port), name=NAME)
                assert not there.streams.ping(flow)
                there.streams.send(options(bench.port), flow)
                await bench.next()
                assert there.streams.ping(flow)
                assert await within(there.ponged.get()) == Flow("TLS", flow.remote, (await _only(there)).local)
                await there.streams.close()

        async def _only(bench: Bench) -> Flow:
            (connection,) = bench.streams._alive
            return connection.flow

        run(main())


class TestReload:
    def test_a_new_certificate_is_for_new_connections_and_the_old_ones_stay(
        self, run: Clean, authority: Authority
    ) -> None:
        certificate, key = authority.issue(NAME, stem="current")
        tls = Tls(TlsConfig(certificate=certificate, key=key))

        async def name_of(peer: Peer) -> str:
            return str(peer.writer.get_extra_info("peercert")["subjectAltName"][0][1])

        async def main() -> None:
            async with listening("TLS", tls=tls) as bench:
                old = await connect(bench, tls=authority.client())
                old.send(options(bench.port))
                _, flow = await bench.next()
                authority.issue("new.example.com", stem="current")
                with capture_logs() as logs:
                    new = await connect(bench, tls=authority.client(), name="new.example.com")
                    await bench.streams.listen("TLS", (HOST, 0))
                assert [log["event"] for log in logs] == ["tls_files_read"]
                assert await name_of(new) == "new.example.com"
                bench.streams.send(b"still there", flow)
                assert await old.read(11) == b"still there"
                for peer in (old, new):
                    await peer.close()

        run(main())

    def test_half_of_a_change_changes_nothing_and_is_told_once(self, authority: Authority) -> None:
        certificate, key = authority.issue(NAME, stem="current")
        tls = Tls(TlsConfig(certificate=certificate, key=key))
        context = tls.server()
        assert tls.server() is context
        other, other_key = authority.issue(NAME, stem="other")
        other.replace(certificate)
        with capture_logs() as logs:
            assert (tls.server(), tls.server()) == (context, context)
        (log,) = logs
        assert (log["event"], log["log_level"]) == ("tls_files_refused", "error")
        assert log["reason"] == f"sip.tls.key: {key}: not the key of the certificate in {certificate}"
        other_key.replace(key)
        assert tls.server() is not context

    def test_a_file_that_is_gone_for_a_moment_changes_nothing(self, authority: Authority) -> None:
        certificate, key = authority.issue(NAME, stem="current")
        tls = Tls(TlsConfig(certificate=certificate, key=key))
        context = tls.server()
        certificate.unlink()
        with capture_logs():
            assert tls.server() is context

    def test_on_demand(self, authority: Authority) -> None:
        tls = authority.tls()
        server, client = tls.server(), tls.client()
        tls.reload()
        assert tls.server() is not server
        assert tls.client() is not client


class TestFiles:
    def refusal(self, **files: object) -> str:
        tls = Tls(TlsConfig(**files))  # type: ignore[arg-type]
        with pytest.raises(SipagentError) as caught:
            (tls.server if "certificate" in files else tls.client)()
        return str(caught.value)

    def test_no_such_file(self, authority: Authority, tmp_path: Path) -> None:
        good, key = authority.issue()
        none = tmp_path / "none.pem"
        assert self.refusal(certificate=none) == f"sip.tls.certificate: {none}: No such file or directory"
        assert self.refusal(certificate=good, key=none) == f"sip.tls.key: {none}: No such file or directory"
        assert self.refusal(ca=none) == f"sip.tls.ca: {none}: No such file or directory"
        assert self.refusal(client_certificate=none).startswith("sip.tls.client_certificate: ")
        assert self.refusal(client_certificate=good, client_key=none).startswith("sip.tls.client_key: ")
        assert self.refusal(certificate=tmp_path) == f"sip.tls.certificate: {tmp_path}: Is a directory"
        assert Tls(TlsConfig(certificate=good, key=key)).server()

    def test_a_key_that_does_not_fit(self, authority: Authority) -> None:
        good, _ = authority.issue()
        _, other = authority.issue(stem="other")
        refusal = self.refusal(certificate=good, key=other)
        assert refusal == f"sip.tls.key: {other}: not the key of the certificate in {good}"

    def test_no_pem(self, authority: Authority, tmp_path: Path) -> None:
        good, key = authority.issue()
        noise = tmp_path / "noise"
        noise.write_bytes(bytes(range(256)))
        assert "expected a certificate and its key, in PEM" in self.refusal(certificate=noise, key=key)
        assert "expected a certificate and its key, in PEM" in self.refusal(certificate=good, key=noise)
        assert "expected a certificate and its key, in PEM" in self.refusal(certificate=good)
        assert self.refusal(ca=noise) == f"sip.tls.ca: {noise}: expected certificates in PEM"

    def test_certificate_and_key_in_one_file(self, authority: Authority, tmp_path: Path) -> None:
        certificate, key = authority.issue()
        both = tmp_path / "both.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        assert Tls(TlsConfig(certificate=both)).server()

    def test_an_encrypted_key_does_not_wait_for_somebody_to_type(self, authority: Authority) -> None:
        certificate, key = authority.issue()
        plain = load_pem_private_key(key.read_bytes(), None)
        locked = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
        key.write_bytes(locked)
        assert "the key is encrypted" in self.refusal(certificate=certificate, key=key)

    @pytest.mark.parametrize(
        ("days", "event"), [(-3, "certificate_expired"), (3, "certificate_expires_soon"), (300, None)]
    )
    def test_the_age_of_a_certificate(self, authority: Authority, days: int, event: str | None) -> None:
        expires = datetime.fromtimestamp(int(time()), UTC) + timedelta(days=days)
        certificate, key = authority.issue(expires=expires)
        with capture_logs() as logs:
            Tls(TlsConfig(certificate=certificate, key=key)).server()
        assert [log["event"] for log in logs] == ([event] if event else [])
        if event:
            assert logs[0]["file"] == str(certificate)
            assert logs[0]["on"].startswith(expires.isoformat(sep=" ", timespec="minutes"))


class TestDates:
    @pytest.mark.parametrize("year", [2027, 2049, 2050, 2120])
    def test_of_certificates(self, year: int) -> None:
        expires = datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC)
        leaf = trustme.CA().issue_cert(NAME, not_after=expires)
        assert expires_at(leaf.private_key_and_cert_chain_pem.bytes().decode()) == expires

    @given(st.text() | st.binary(max_size=200).map(ssl.DER_cert_to_PEM_cert))
    def test_what_is_none_has_none(self, text: str) -> None:
        assert expires_at(text) is None

    @given(st.data())
    def test_a_damaged_certificate_raises_nothing(self, data: st.DataObject) -> None:
        der = bytearray(ssl.PEM_cert_to_DER_cert(CERTIFICATE))
        for _ in range(data.draw(st.integers(1, 8))):
            der[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
        expires_at(ssl.DER_cert_to_PEM_cert(bytes(der)))


CERTIFICATE = trustme.CA().issue_cert(NAME).cert_chain_pems[0].bytes().decode()


def test_a_name_that_is_none() -> None:
    with pytest.raises(OSError, match="no name"):
        TlsLayer(ssl.create_default_context(), name=".")
