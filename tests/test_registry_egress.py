"""The egress guard on real sockets: what is reached, what is not, and which address is connected to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import urllib3
from certificates import Authority
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Reply, Scripted, scripted
from sockets import raw_server, tunnel
from urllib3.exceptions import HTTPError, NameResolutionError, ReadTimeoutError, SSLError

from bot.errors import ConfigurationError
from bot.registries import connections
from bot.registries.dial import TimedSocket
from bot.registries.dial import connect as really_connect
from bot.registries.egress import Allowed, BlockedError, GuardedPool, Limits, guarded_pool
from bot.registries.proxies import Proxies


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as made:
        made.routes["* /"] = Reply(body=b"hello")
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def port_of(server: Scripted) -> int:
    return int(server.host.rpartition(":")[2])


def reaching(*servers: Scripted, **more: object) -> GuardedPool:
    allowed = [Allowed.parse(server.url) for server in servers]
    return guarded_pool(allowed=allowed, environ={}, **more)  # type: ignore[arg-type]  # keywords


class Names:
    """A resolver that counts."""

    def __init__(self, **names: Sequence[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]


# --- what may be asked --------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "https://localhost:{port}/",
        "https://LOCALHOST:{port}/",
        "https://127.1:{port}/",
        "https://0x7f000001:{port}/",
        "https://2130706433:{port}/",
        "https://0177.0.0.1:{port}/",
        "https://[::1]:{port}/",
        "https://[::ffff:127.0.0.1]:{port}/",
        "https://[0:0:0:0:0:ffff:7f00:1]:{port}/",
        "https://[64:ff9b::7f00:1]:{port}/",
        "https://[fe80::1%25lo]:{port}/",
        "https://0.0.0.0:{port}/",
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.google.internal/",
        "http://registry.example/",
        "https://registry.example:22/",
        "https://8.8.8.8/",
        "ftp://registry.example/",
        "file:///etc/passwd",
        "https://user:password@registry.example/",
        "https://127.0.0.1:{port}@registry.example:{port}/",
        "https://registry.example\\@127.0.0.1:{port}/",
        "https:///",
    ],
)
def test_refused_before_anything_is_sent(server: Scripted, form: str) -> None:
    names = Names(registry_example=["127.0.0.1"], localhost=["127.0.0.1"])
    pool = guarded_pool(environ={}, lookup=names)
    with pytest.raises(HTTPError) as caught:
        pool.request("GET", form.format(port=port_of(server)))
    assert not isinstance(caught.value, NameResolutionError)
    assert server.asked == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["100.100.100.200"],
        ["::1"],
        ["::ffff:8.8.8.8"],
        ["64:ff9b::808:808"],
        ["fe80::1%eth0"],
        # One bad address among good ones: the next connection might get it.
        ["93.184.215.14", "127.0.0.1"],
        ["2606:4700::1111", "93.184.215.14", "192.168.0.1"],
    ],
)
def test_a_name_with_any_denied_address_is_refused(addresses: list[str]) -> None:
    pool = guarded_pool(environ={}, lookup=Names(registry_example=addresses))
    with pytest.raises(BlockedError, match=r"registry\.example"):
        pool.request("GET", "https://registry.example/")


def test_an_exception_is_exact(server: Scripted) -> None:
    port = port_of(server)
    pool = reaching(server, lookup=Names(localhost=["127.0.0.1"]))
    assert pool.request("GET", f"http://127.0.0.1:{port}/").data == b"hello"
    for other in (
        f"https://127.0.0.1:{port}/",
        f"http://localhost:{port}/",
        f"http://127.0.0.2:{port}/",
        "http://127.0.0.1/",
        f"http://127.1:{port}/",
    ):
        with pytest.raises(BlockedError):
            pool.request("GET", other)
    assert len(server.asked) == 1


def test_not_even_an_exception_leads_to_a_metadata_server() -> None:
    names = Names(registry_corp=["169.254.169.254"])
    pool = guarded_pool(allowed=[Allowed.parse("http://registry.corp")], environ={}, lookup=names)
    with pytest.raises(BlockedError, match=r"169\.254\.169\.254"):
        pool.request("GET", "http://registry.corp/")


def test_an_extended_pool_leaves_its_parent_as_it_is(server: Scripted) -> None:
    pool = guarded_pool(environ={})
    assert pool.extended([Allowed.parse(server.url)]).request("GET", server.url).status == 200
    with pytest.raises(BlockedError):
        pool.request("GET", server.url)


def test_other_ways_into_the_pool_are_guarded_too(server: Scripted) -> None:
    pool = guarded_pool(environ={})
    with pytest.raises(BlockedError):
        pool.connection_from_url(server.url)
    with pytest.raises(BlockedError):
        pool.connection_from_host("127.0.0.1", port_of(server), "http")


@pytest.mark.parametrize(
    "url", ["", "registry.example", "ftp://x", "https://", "https://a@b", "http://a:99999", "x://"]
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Allowed.parse(url)


def test_origins_are_written_as_they_are_read() -> None:
    for url in ("https://a.example", "http://a.example:81", "https://[::1]:5000", "http://127.0.0.1"):
        assert str(Allowed.parse(url)) == url
    assert Allowed.parse("HTTPS://A.example:443/path") == Allowed(scheme="https", host="a.example", port=443)


# --- where the connection goes ------------------------------------------------------------


def test_the_vetted_address_is_the_one_that_is_connected_to(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer of the resolver would be this machine."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    dialled: list[tuple[Sequence[str], int]] = []
    with scripted(authority.context("registry.example")) as server:
        server.routes["* /"] = Reply(body=b"hello")

        def dial(addresses: Sequence[str], port: int, timeout: float) -> TimedSocket:
            dialled.append((addresses, port))
            return really_connect(["127.0.0.1"], port_of(server), timeout)

        monkeypatch.setattr(connections, "connect", dial)
        pool = guarded_pool(
            ca_bundle=str(authority.bundle), environ={}, lookup=lambda _: next(answers), maxsize=1
        )
        url = f"https://registry.example:{port_of(server)}/"
        for _ in range(3):
            assert pool.request("GET", url, headers={"Connection": "close"}).data == b"hello"
        # The name went into Host, SNI and the check of the certificate; the address did not.
        assert {asked.headers["host"] for asked in server.asked} == {f"registry.example:{port_of(server)}"}
        with scripted(authority.context("other.example")) as other:
            monkeypatch.setattr(
                connections, "connect", lambda *_: really_connect(["127.0.0.1"], port_of(other), 5)
            )
            with pytest.raises(SSLError, match=r"registry\.example"):
                pool.request("GET", url)
        pool.clear()
    assert {tuple(addresses) for addresses, _ in dialled} == {("93.184.215.14",)}


def test_every_address_gets_its_turn(server: Scripted) -> None:
    unused = socket.create_server(("127.0.0.2", 0))
    unused.close()
    names = Names(registry_corp=["127.0.0.2", "127.0.0.1"])
    allowed = [Allowed(scheme="http", host="registry.corp", port=port_of(server))]
    pool = guarded_pool(allowed=allowed, environ={}, lookup=names)
    url = f"http://registry.corp:{port_of(server)}/"
    assert [pool.request("GET", url).status for _ in range(2)] == [200, 200]
    assert names.asked == ["registry.corp"]


def test_an_unknown_authority_is_refused_and_a_bundle_is_believed(authority: Authority) -> None:
    with scripted(authority.context("127.0.0.1")) as server:
        server.routes["* /"] = Reply(body=b"hello")
        with pytest.raises(SSLError):
            reaching(server).request("GET", server.url)
        pool = reaching(server, ca_bundle=str(authority.bundle))
        assert pool.request("GET", server.url).data == b"hello"
        pool.clear()


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MOORLINE_CA_BUNDLE"):
        guarded_pool(ca_bundle=str(tmp_path / "missing"), environ={})
    junk = tmp_path / "junk"
    junk.write_text("no certificate")
    pool = guarded_pool(ca_bundle=str(junk), environ={}, lookup=Names(registry_example=["93.184.215.14"]))
    with pytest.raises(ConfigurationError, match="MOORLINE_CA_BUNDLE"):
        pool.request("GET", "https://registry.example/")


# --- redirects ----------------------------------------------------------------------------


def redirect(target: str, status: int = 307) -> Reply:
    return Reply(status=status, headers=[("Location", target)])


def test_a_redirect_is_followed_without_secrets(server: Scripted) -> None:
    with scripted() as target:
        target.routes["GET /there"] = Reply(body=b"there")
        server.routes["GET /go"] = redirect(f"{target.url}/there")
        server.routes["GET /again"] = redirect("/", 302)
        secrets = {"Authorization": "Bearer s3cret", "Cookie": "s3cret", "Accept": "x"}
        pool = reaching(server, target)
        answer = pool.request("GET", f"{server.url}/go", headers=secrets)
        assert (answer.data, answer.geturl()) == (b"there", f"{target.url}/there")
        assert target.secrets() == []
        assert target.asked[0].headers["accept"] == "x"
        assert pool.request("GET", f"{server.url}/again", headers=secrets).data == b"hello"
        assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer s3cret"] * 2 + [
            None
        ]


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://127.0.0.1:{other}/",
        "https://metadata.google.internal/",
        "//localhost:{other}/",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_is_vetted(server: Scripted, target: str) -> None:
    with scripted() as other:
        server.routes["GET /go"] = redirect(target.format(other=port_of(other)))
        with pytest.raises(HTTPError):
            reaching(server).request("GET", f"{server.url}/go")
        assert other.asked == []


def test_a_redirect_from_https_to_http_is_refused_even_to_an_exception(
    server: Scripted, authority: Authority
) -> None:
    with scripted(authority.context("127.0.0.1")) as secure:
        secure.routes["GET /go"] = redirect(server.url)
        pool = reaching(server, secure, ca_bundle=str(authority.bundle))
        with pytest.raises(BlockedError, match="from https"):
            pool.request("GET", f"{secure.url}/go")
        pool.clear()
    assert server.asked == []


def test_redirects_end(server: Scripted) -> None:
    server.routes["GET /go"] = redirect("/go")
    with pytest.raises(BlockedError, match="More than 5 redirects"):
        reaching(server).request("GET", f"{server.url}/go")
    assert len(server.asked) == 6


def test_a_post_is_never_redirected(server: Scripted) -> None:
    server.routes["POST /go"] = redirect("/", 308)
    assert reaching(server).request("POST", f"{server.url}/go", body=b"secret").status == 308
    assert len(server.asked) == 1


# --- time and size ------------------------------------------------------------------------


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("chunks", "endless", "pause"),
    [
        ((), b"", 0.0),
        ((b"HTTP/1.1 200",), b"", 0.0),
        # A byte at a time: each read succeeds, the answer never ends.
        ((OK, b"X: "), b"y", 0.02),
        ((OK, b"Content-Length: 1000000\r\n\r\n"), b"y", 0.02),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n"), b"1\r\ny\r\n", 0.02),
        ((OK, b"\r\n"), b"y", 0.02),
        ((), b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    ],
)
def test_no_server_holds_a_request_longer_than_it_may(
    chunks: tuple[bytes, ...], endless: bytes, pause: float
) -> None:
    with raw_server(*chunks, endless=endless, pause=pause) as server:
        pool = reaching(server, limits=Limits(response=0.3))
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            pool.request("GET", server.url)
        assert time.monotonic() - started < 3.0


@pytest.mark.parametrize(
    ("chunks", "endless"),
    [
        ((OK,), b"X: " + b"y" * 60_000 + b"\r\n"),
        ((OK,), b"".join(b"X%d: y\r\n" % number for number in range(90))),
        ((), b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * 50 + b"\r\n"),
        ((OK, b"\r\n"), b"y" * 65536),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n"), b"10000\r\n" + b"y" * 65536 + b"\r\n"),
        # A chunk's size line that never ends.
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n1;"), b"y" * 65536),
    ],
)
def test_no_server_sends_more_than_it_may(chunks: tuple[bytes, ...], endless: bytes) -> None:
    with raw_server(*chunks, endless=endless) as server:
        pool = reaching(server, limits=Limits(response=20.0, body=1_000_000))
        with pytest.raises(HTTPError) as caught:
            pool.request("GET", server.url)
        assert not isinstance(caught.value, ReadTimeoutError)


def test_a_read_waits_no_longer_than_the_whole_answer_may_take() -> None:
    """One long silence after a first byte is not measured by the timeout of a single read."""
    with raw_server(b"x") as server, really_connect(["127.0.0.1"], port_of(server), 5.0) as connection:
        connection.settimeout(20.0)
        connection.bound(seconds=0.2, size=1000)
        connection.sendall(b"hello")
        started = time.monotonic()
        buffer = bytearray(10)
        assert connection.recv_into(buffer) == 1
        with pytest.raises(TimeoutError):
            connection.recv_into(buffer)
        assert time.monotonic() - started < 5.0


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    over = threading.Event()

    def hang(_: str) -> Sequence[str]:
        over.wait(20)
        return ["93.184.215.14"]

    pool = guarded_pool(environ={}, lookup=hang, limits=Limits(connect=0.2))
    started = time.monotonic()
    with pytest.raises(HTTPError, match="timed out"):
        pool.request("GET", "https://registry.example/")
    assert time.monotonic() - started < 3.0
    over.set()


def test_a_name_is_resolved_once_by_many_threads_and_failures_are_known_for_a_while() -> None:
    names = Names(registry_corp=["127.0.0.1"])
    resolver = connections.Resolver(names)
    for host, found in (("registry.corp", ["127.0.0.1"]), ("missing.corp", None)):
        for _ in range(3):
            if found is None:
                with pytest.raises(socket.gaierror):
                    resolver.addresses(host, 5.0)
            else:
                assert resolver.addresses(host, 5.0) == found
    assert names.asked == ["registry.corp", "missing.corp"]


# --- proxies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "scheme", "host", "port", "chosen"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https", "a.example", 443, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https", "a.example", 443, "http://p:1"),
        (
            {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"},
            "https",
            "a.example",
            443,
            "http://low:1",
        ),
        ({"HTTP_PROXY": "http://p:1"}, "https", "a.example", 443, ""),
        ({"HTTP_PROXY": "http://p:1"}, "http", "a.example", 80, "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http", "a.example", 80, "http://p:1"),
        *(
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": entry}, "https", "a.b.example", 443, chosen)
            for entry, chosen in (
                ("*", ""),
                ("b.example", ""),
                (".b.example", ""),
                ("*.b.example", ""),
                ("x, a.b.example ,y", ""),
                ("A.B.Example:443", ""),
                ("a.b.example:8443", "http://p:1"),
                ("c.b.example", "http://p:1"),
                ("xb.example", "http://p:1"),
                ("", "http://p:1"),
                (",,", "http://p:1"),
                ("10.0.0.0/8", "http://p:1"),
            )
        ),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https", "10.1.2.3", 443, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.1.2.3"}, "https", "10.1.2.3", 443, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.1.2.3:443"}, "https", "10.1.2.3", 443, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd00::/8"}, "https", "10.1.2.3", 443, "http://p:1"),
        # This machine is never asked through a proxy.
        ({"HTTPS_PROXY": "http://p:1"}, "https", "127.0.0.1", 443, ""),
        ({"HTTP_PROXY": "http://p:1"}, "http", "localhost", 80, ""),
    ],
)
def test_which_proxy(environ: dict[str, str], scheme: str, host: str, port: int, chosen: str) -> None:
    assert Proxies.from_environ(environ).choose(scheme, host, port) == chosen


@pytest.mark.parametrize("url", ["socks5://p:1", "http://", "http://p:99999", "http://[::1"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(ConfigurationError):
        guarded_pool(environ={"HTTPS_PROXY": url})


def test_a_proxys_password_is_not_shown() -> None:
    proxies = Proxies.from_environ({"HTTPS_PROXY": "http://user:s3cret@p:1"})
    assert "s3cret" not in repr(proxies)


def test_through_a_proxy_the_name_is_the_proxys_to_resolve(authority: Authority) -> None:
    with scripted(authority.context("registry.example")) as server, tunnel(server) as (proxy, heads):
        server.routes["* /"] = Reply(body=b"hello")
        pool = guarded_pool(
            ca_bundle=str(authority.bundle),
            environ={"HTTPS_PROXY": f"http://user:p%40ss@{proxy}"},
            lookup=Names(),
        )
        assert (
            pool.request("GET", "https://registry.example/", headers={"Authorization": "x"}).data == b"hello"
        )
        assert heads[0].startswith(b"CONNECT registry.example:443 ")
        assert b"authorization: basic " in heads[0].lower()
        assert server.asked[0].headers["host"] == "registry.example"
        assert "proxy-authorization" not in server.asked[0].headers
        pool.clear()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.1/",
        "https://169.254.169.254/",
        "https://metadata.google.internal/",
        "https://inner.example/",
    ],
)
def test_a_proxy_is_not_asked_for_what_the_guard_refuses(url: str) -> None:
    with tunnel(None) as (proxy, heads):
        pool = guarded_pool(environ={"HTTPS_PROXY": proxy}, lookup=Names(inner_example=["10.0.0.1"]))
        with pytest.raises(BlockedError):
            pool.request("GET", url)
    assert heads == []


def test_a_proxy_that_refuses_is_no_registry() -> None:
    with tunnel(None) as (proxy, heads):
        pool = guarded_pool(environ={"HTTPS_PROXY": proxy}, lookup=Names())
        with pytest.raises(urllib3.exceptions.ProxyError):
            pool.request("GET", "https://registry.example/")
    assert len(heads) == 1


# --- any text -----------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        *("127.0.0.1", "localhost", "[::1]", "0x7f.1", "a.example", "@", ":", "/", "\\", "#", "?", "%"),
        *("%00", ".", "[", "]", "::", "http://", "https://", "//", " ", "\t", "\r\n", "443", "80"),
        *("\u3002", "\u2460", "\u00df"),
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_PIECES | st.text(max_size=5), max_size=8).map("".join), st.booleans())
def test_no_text_leads_to_this_machine(text: str, absolute: bool) -> None:
    """Every name resolves to this machine, and nothing is ever dialled."""
    dialled: list[object] = []

    def dial(*asked: object) -> TimedSocket:
        dialled.append(asked)
        raise OSError("not to be reached")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connections, "connect", dial)
        pool = guarded_pool(environ={}, lookup=lambda _: ["127.0.0.1"])
        with pytest.raises(HTTPError):
            pool.request("GET", ("https://" if absolute else "") + text)
    assert dialled == []
