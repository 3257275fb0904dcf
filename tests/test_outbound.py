"""No webhook leads to a machine of ours: 0 connections, whatever the address looks like and whoever answers for names."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.addresses import Strange, place_of, refuse_closed
from app.models import utc_now
from app.outbound import Answer, Outlet
from app.policy import Role
from tests.conftest import World, problem
from tests.receivers import Reply, receiving


def words(text: str) -> list[str]:
    return text.split()


# How one might spell this machine, or another one inside. {p} is the port on which the test listens.
SPELLINGS = words("""
127.0.0.1:{p} 127.0.0.2:{p} 127.1:{p} 127.0.1:{p} 0.0.0.0:{p} 0:{p} 2130706433:{p} 0x7f000001:{p} 0x7f.0.0.1:{p}
0x7f.1:{p} 0177.0.0.1:{p} 017700000001:{p} 0177.1:{p} 127.0.0.01:{p} 127.0.0.1.:{p} 00000177.0.0.1:{p}
[::1]:{p} [::]:{p} [0:0:0:0:0:0:0:1]:{p} [0000::1]:{p} [::ffff:127.0.0.1]:{p} [::ffff:7f00:1]:{p} [::127.0.0.1]:{p}
[::7f00:1]:{p} [::ffff:0:127.0.0.1]:{p} [64:ff9b::127.0.0.1]:{p} [64:ff9b::7f00:1]:{p} [64:ff9b:1::7f00:1]:{p}
[64:ff9b:1:ffff::10.0.0.1]:{p} [2002:7f00:1::]:{p} [2002:7f00:1::1]:{p} [2001:0:7f00:1::]:{p} [2001::1]:{p}
[fe80::1]:{p} [fe80::1%25lo]:{p} [fe80::1%lo]:{p} [fec0::1]:{p} [fc00::1]:{p} [fd00:ec2::254]:{p} [ff02::1]:{p}
[2001:db8::1]:{p} [3fff::1]:{p} [100::1]:{p} [5f00::1]:{p}
10.0.0.1:{p} 10.255.255.254:{p} 172.16.0.1:{p} 172.31.255.254:{p} 192.168.0.1:{p} 169.254.169.254:{p} 169.254.0.1:{p}
100.64.0.1:{p} 100.100.100.200:{p} 192.0.0.192:{p} 192.0.2.1:{p} 198.18.0.1:{p} 198.51.100.1:{p} 203.0.113.1:{p}
192.88.99.1:{p} 224.0.0.1:{p} 239.255.255.250:{p} 240.0.0.1:{p} 255.255.255.255:{p} 168.63.129.16:{p}
example.com@127.0.0.1:{p} user:pw@127.0.0.1:{p} 127.0.0.1:{p}@127.0.0.1:{p} 127.0.0.1:{p}\\@example.com
example.com\\@127.0.0.1:{p} example.com#@127.0.0.1:{p} @127.0.0.1:{p} 127.0.0.1%00.example.com:{p}
127。0。0。1:{p} 127．0．0．1:{p} 127｡0｡0｡1:{p} １２７.0.0.1:{p} ①②⑦.⓪.⓪.①:{p} ⓛocalhost:{p} local\u00adhost:{p}
localhost:{p} LOCALHOST:{p} localhost.:{p} foo.localhost:{p} metadata.google.internal:{p} 127.0.0.1%09:{p} [::1:{p} [127.0.0.1]:{p}
""")

# Names of which the test's own resolver says that they are these.
INSIDE = words("""
127.0.0.1 127.255.255.254 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.0.192 198.18.0.1
224.0.0.1 240.0.0.1 255.255.255.255 192.0.2.1 168.63.129.16 192.88.99.1 ::1 :: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1
64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1:: 2001:0:7f00:1:: fe80::1 fe80::1%lo fec0::1 fc00::1 fd00:ec2::254 ff02::1
2001:db8::1 3fff::1 100::1 5f00::1 ::ffff:8.8.8.8 2606:4700:4700::1111%lo
""")
PUBLIC = ("8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e")


@dataclass
class Door:
    """A port of this machine, at all its addresses; nobody may ever come in."""

    port: int = 0
    knocks: int = 0
    servers: list[asyncio.Server] = field(default_factory=list[asyncio.Server])

    async def open(self) -> None:
        def knock(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.knocks += 1
            writer.close()

        for host in ("0.0.0.0", "::1"):
            with suppress(OSError):  # a machine without IPv6
                self.servers.append(await asyncio.start_server(knock, host, self.port))
                self.port = self.port or self.servers[0].sockets[0].getsockname()[1]


@pytest.fixture
async def door() -> AsyncGenerator[Door]:
    found = Door()
    await found.open()
    yield found
    for server in found.servers:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def outlet(*answers: Sequence[str], allowed: Sequence[str] = ()) -> AsyncGenerator[tuple[Outlet, list[str]]]:
    """A way out whose names are answered for with these, one after the other; and the names that were asked for."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1] if answers else ["127.0.0.1"]

    found = Outlet([ip_network(network) for network in allowed], resolve)
    try:
        yield found, asked
    finally:
        await found.close()


async def sent(out: Outlet, url: str, seconds: float = 5) -> Answer:
    return await out.post(url, {}, b"{}", seconds)


async def test_no_spelling_of_an_inner_address_is_connected_to(door: Door):
    assert len(SPELLINGS) > 60
    async with outlet() as (out, _):
        for scheme in ("http", "https"):
            for spelling in SPELLINGS:
                started = time.monotonic()
                answer = await sent(out, f"{scheme}://{spelling.format(p=door.port)}/x")
                assert answer.error in ("refused_address", "unknown_host", "invalid_url"), spelling
                assert answer.status is None
                assert time.monotonic() - started < 0.5, spelling
    await asyncio.sleep(0.05)
    assert door.knocks == 0


async def test_the_door_is_open_for_whoever_is_let_out(door: Door):
    """Else the tests here would hold whatever is done."""
    async with outlet(allowed=["127.0.0.0/8"]) as (out, _):
        for host in ("127.0.0.1", "name.example.com"):
            assert (await sent(out, f"http://{host}:{door.port}/")).error in ("protocol", "connection_lost")
    assert door.knocks == 2


async def test_no_name_leads_inside(door: Door):
    answers = [found for a in INSIDE for found in ([a], [*PUBLIC[:2], a], [a, *PUBLIC])]
    for scheme in ("http", "https"):
        async with outlet(*answers) as (out, asked):
            for found in answers:
                answer = await sent(out, f"{scheme}://hooks.example.com:{door.port}/")
                assert (answer.error, answer.status) == ("unknown_host", None), found
            assert len(asked) == len(answers)
    assert door.knocks == 0


async def test_name_is_looked_up_once_and_the_address_that_was_checked_is_connected_to(door: Door):
    """Public when it is asked first, ourselves from then on: the classic trick."""
    async with outlet(["203.1.0.1"], ["127.0.0.1"]) as (out, asked):
        first = await sent(out, f"https://rebind.example.com:{door.port}/", 0.5)
        assert first.error in ("timeout", "connect")
        assert asked == ["rebind.example.com"]
        assert (await sent(out, f"https://rebind.example.com:{door.port}/")).error == "unknown_host"
    assert door.knocks == 0


async def test_system_resolver_is_checked_too(door: Door):
    out = Outlet()
    for scheme in ("https", "http"):
        answer = await sent(out, f"{scheme}://localhost:{door.port}/")
        assert answer.error == "unknown_host"
    await out.close()
    assert door.knocks == 0


async def test_name_that_leads_inside_is_told_from_none_by_nobody(world: World, door: Door):
    """Else whoever may make webhooks finds out which names the network around the service has."""

    async def resolve(host: str, _port: int) -> Sequence[str]:
        if host.startswith("printer"):
            return ["10.1.2.3"]
        if host.startswith("hooks"):
            return ["127.0.0.1"]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, at = await world.client("Anna"), f"/v1/partners/{partner.id}/webhooks"
    told: list[dict[str, Any]] = []
    for name in ("printer", "nothing"):
        made = await anna.post(at, json={"url": f"https://{name}.corp.example.com:{door.port}/"})
        assert made.status_code == 201
        world.app.state.outlet = Outlet(resolver=resolve)
        pinged = await anna.post(f"{made.headers['location']}/ping")
        told.append(pinged.json() | {"at": "", "milliseconds": 0})
    assert told[0] == told[1]
    assert told[0]["error"] == "unknown_host"
    out = Outlet([ip_network("127.0.0.0/8")], resolve)
    assert (await sent(out, f"http://hooks.corp.example.com:{door.port}/")).error in ("protocol", "connection_lost")
    assert (await sent(out, f"http://printer.corp.example.com:{door.port}/")).error == "unknown_host"
    await out.close()
    assert door.knocks == 1, "what the list allows, and nothing else"


async def test_redirects_inside_are_not_followed(door: Door):
    async with receiving() as receiver, outlet(allowed=["127.0.0.0/8"]) as (out, _):
        for status in (301, 302, 303, 307, 308):
            receiver.reply = lambda _, status=status: Reply(
                status,
                headers={"Location": f"http://127.0.0.1:{door.port}/", "Refresh": f"0; http://127.0.0.1:{door.port}/"},
            )
            answer = await sent(out, receiver.url)
            assert (answer.status, answer.error) == (status, "redirect")
    assert door.knocks == 0


async def test_proxies_of_the_environment_are_not_used(door: Door, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelt in (name, name.lower()):
            monkeypatch.setenv(spelt, f"http://127.0.0.1:{door.port}")
    async with receiving() as receiver, outlet(allowed=["127.0.0.1/32"]) as (out, _):
        assert (await sent(out, receiver.url)).status == 200
        await sent(out, "https://8.8.8.8/", 0.3)
    assert door.knocks == 0


async def test_plain_http_is_for_the_list_only():
    async with outlet(["8.8.8.8"], allowed=["127.0.0.0/8"]) as (out, _):
        for url, error in (("http://8.8.8.8/", "refused_address"), ("http://hooks.example.com/", "unknown_host")):
            started = time.monotonic()
            assert (await sent(out, url)).error == error
            assert time.monotonic() - started < 0.3


async def test_list_opens_what_it_names_and_no_more(door: Door):
    async with outlet(allowed=["127.0.0.1/32", "fd00::/8"]) as (out, _):
        for spelling in ("127.0.0.2:{p}", "[::ffff:127.0.0.1]:{p}", "[::1]:{p}", "10.0.0.1:{p}", "0.0.0.0:{p}"):
            assert (await sent(out, f"http://{spelling.format(p=door.port)}/")).error == "refused_address", spelling
    assert door.knocks == 0


def test_public_addresses_are_let_through():
    for address in PUBLIC:
        refuse_closed(address)
    for address in (*INSIDE, "", "example.com", "8.8.8.8 ", "8.8.8.8/32"):
        with pytest.raises(Strange):
            refuse_closed(address)


def test_url_is_taken_apart_in_one_way_only():
    place = place_of("HTTPS://Hooks.Example.com:8443/a/b?c=d&e=%20")
    assert (place.scheme, place.host, place.port, place.target) == (
        "https", "hooks.example.com", 8443, "/a/b?c=d&e=%20")  # fmt: skip
    assert place.authority == "hooks.example.com:8443"
    assert place_of("https://xn--mller-kva.example.com").target == "/"
    assert place_of("https://[2606:4700::1111]?q").target == "/?q"
    assert place_of("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"
    for url in (
        "", "https://", "https:///x", "//example.com/", "example.com", "ftp://example.com/", "gopher://example.com/",
        "file:///etc/passwd", "https://example.com:0/", "https://example.com:65536/", "https://example.com:/",
        "https://example.com: 80/", "https://exa mple.com/", "https://example..com/", "https://-a.example.com/",
        "https://example.com/\r\nX: y", "https://example.com/a b", "https://example.com/ä", "https://müller.example.com/",
        "https://example.com\\x", "https://example.com/#f", "https://u@example.com/", "https://example.com/" + "a" * 2000,
        "https://1.2.3.4.5/", "https://1.2.3/", "https://a.0x1/", "https://a.1/", "javascript:alert(1)", "https:example.com",
    ):  # fmt: skip
        with pytest.raises(Strange):
            place_of(url)


async def test_api_says_early_what_will_not_be_connected_to_and_never_connects(world: World, door: Door):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, at = await world.client("Anna"), f"/v1/partners/{partner.id}/webhooks"
    for spelling in SPELLINGS:
        url = f"https://{spelling.format(p=door.port)}/x"
        made = await anna.post(at, json={"url": url})
        assert problem(made) == (422, "invalid"), spelling
        assert [e["pointer"] for e in made.json()["errors"]] == ["/url"]
    insecure = await anna.post(at, json={"url": "http://example.com/"})
    assert [e["code"] for e in insecure.json()["errors"]] == ["insecure_url"]
    good = await anna.post(at, json={"url": f"https://inside.example.com:{door.port}/"})
    assert good.status_code == 201
    one = good.headers["location"]
    moved = await anna.patch(one, json={"url": f"https://127.0.0.1:{door.port}/"}, headers={"If-Match": "*"})
    assert problem(moved) == (422, "invalid")
    async with outlet() as (out, _):
        world.app.state.outlet = out
        assert (await anna.post(f"{one}/ping")).json()["error"] == "unknown_host"
    assert door.knocks == 0


# --- TLS ---


def identity(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for a name, and the file with the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(utc_now().replace(year=2025))
        .not_valid_after(utc_now().replace(year=2028))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    trusted, private = folder / "trusted.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, private)
    return context, trusted


async def test_name_and_certificate_are_those_of_the_url_though_the_address_was_looked_up_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tls, trusted = identity(tmp_path, "hooks.example.com")
    said: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: said.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            said.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    url = f"https://hooks.example.com:{port}/"
    try:
        async with outlet(allowed=["127.0.0.0/8"]) as (out, _):  # whom nobody vouches for gets nothing
            assert (await sent(out, url)).error == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        said.clear()
        async with outlet(allowed=["127.0.0.0/8"]) as (out, _):
            assert (await sent(out, url)).status == 200
            assert said == ["hooks.example.com", f"Host: hooks.example.com:{port}"]
            assert (await sent(out, f"https://other.example.com:{port}/")).error == "tls"
    finally:
        server.close()


# --- size and time ---


@asynccontextmanager
async def slow(pieces: Callable[[], Sequence[bytes]]) -> AsyncGenerator[str]:
    """A server that sends a piece every tenth of a second."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_answer_that_trickles_in_is_cut_off():
    """Each piece in time, and yet no end: the limit is on the whole."""
    async with (
        slow(lambda: [b"H", b"T", b"T", b"P", b"/", b"1", b".", b"1", *[b" "] * 100]) as url,
        outlet(allowed=["127.0.0.0/8"]) as (out, _),
    ):
        started = time.monotonic()
        assert (await sent(out, url, 0.5)).error == "timeout"
        assert time.monotonic() - started < 0.8


async def test_informational_answers_without_end_are_cut_off():
    async with (
        slow(lambda: [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 100) as url,
        outlet(allowed=["127.0.0.0/8"]) as (out, _),
    ):
        assert (await sent(out, url, 0.5)).error == "timeout"


async def test_body_without_end_is_left_at_once():
    """What was answered is known by then."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    async with slow(lambda: [head, *[b"x" * 70_000] * 100]) as url, outlet(allowed=["127.0.0.0/8"]) as (out, _):
        started = time.monotonic()
        answer = await sent(out, url)
        assert (answer.status, answer.error, answer.body) == (200, None, "x" * 1024)
        assert time.monotonic() - started < 1


async def test_headers_without_end_are_cut_off():
    async with (
        slow(lambda: [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 60_000 + b"\r\n"] * 20]) as url,
        outlet(allowed=["127.0.0.0/8"]) as (out, _),
    ):
        assert (await sent(out, url, 3)).error == "protocol"
