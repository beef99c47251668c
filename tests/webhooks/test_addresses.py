"""Nothing is sent to an address that is not public, in whatever form it is written or named."""

import socket
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from oban_powertools.errors import InvalidSettingError
from oban_powertools.webhooks.addresses import RefusedAddressError, check_address, check_url, resolve_host
from tests.support.receiver import receiving
from tests.webhooks.conftest import ADA, Post

PUBLIC = "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"
PRIVATE = (
    "127.0.0.1 127.8.9.10 10.1.1.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 100.100.100.200 0.0.0.0 0.1.2.3 "
    "224.0.0.1 255.255.255.255 240.0.0.1 192.0.2.1 198.18.0.1 168.63.129.16 "
    "::1 :: fe80::1 fe80::1%lo fec0::1 fd00:ec2::254 ff02::1 2001:db8::1 "
    "::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe::1 "
    "2001:0:808:808:0:0:80ff:fffe"
)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_is_allowed(address: str) -> None:
    check_address(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_public_is_refused_in_every_form(address: str) -> None:
    with pytest.raises(RefusedAddressError, match="not a public address"):
        check_address(ip_address(address))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com/", "expected https"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://[::ffff:127.0.0.1]/", "not a public address"),
        ("https://user:canary@example.com/", "without user, password"),
        ("https://example.com/#canary", "fragment"),
        ("ftp://example.com/canary", "such as https"),
        ("https://", "such as https"),
        ("https://example.com:0/", "such as https"),
        ("https://example.com:canary/", "unreadable"),
        ("https://exa mple.com/", "such as https"),
        ("https://example.com/\r\nx-canary: 1", "such as https"),
        ("https://example.com/" + "x" * 2000, "such as https"),
    ],
)
def test_a_url_that_cannot_be_sent_to_is_refused_without_its_secrets(url: str, told: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        check_url(url, allow_private=False)

    assert told in str(caught.value)
    assert "canary" not in str(caught.value)


def test_allow_private_permits_plain_http_and_private_addresses_and_nothing_else() -> None:
    assert check_url("http://10.0.0.1:8000/hook", allow_private=True)
    with pytest.raises(InvalidSettingError):
        check_url("file:///etc/passwd", allow_private=True)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_names_and_numbers_that_lead_to_loopback_are_refused(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        await resolve_host(host, 443, allow_private=False)


async def test_a_name_with_a_public_and_a_private_address_is_refused(names: Callable[..., list[str]]) -> None:
    names("mixed.test", ["93.184.216.34", "127.0.0.1"])

    with pytest.raises(RefusedAddressError):
        await resolve_host("mixed.test", 443, allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "::1", "::ffff:127.0.0.1"])
async def test_a_receiver_inside_gets_nothing_unless_it_is_allowed(post: Post, host: str) -> None:
    async with receiving(host="::1" if host == "::1" else "127.0.0.1") as receiver:
        port = receiver.url.rpartition(":")[2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        issued = await post.add(url)
        await post.hand.rows("UPDATE powertools.webhook_endpoints SET allow_private = false")
        refused = await post.webhooks.test(issued.endpoint.id)
        before = len(receiver.received)
        await post.webhooks.update(issued.endpoint.id, allow_private=True, **ADA)
        allowed = await post.webhooks.test(issued.endpoint.id)

    assert "not a public address" in (refused.error or "") and refused.status is None
    assert (before, allowed.status) == (0, 204)


async def test_what_was_checked_is_what_is_connected_to(post: Post, names: Callable[..., list[str]]) -> None:
    """A name that points elsewhere at every look-up: one look-up, and the connection goes where it led."""
    async with receiving(host="127.0.0.2") as receiver:
        port = int(receiver.url.split(":")[2].partition("/")[0])
        looked_up = names("rebinding.test", ["127.0.0.2"], ["127.0.0.1"])
        issued = await post.add(f"http://rebinding.test:{port}/hook")

        answer = await post.webhooks.test(issued.endpoint.id)

    assert (answer.status, looked_up) == (204, ["rebinding.test"])
    assert receiver.received[0].headers["host"] == f"rebinding.test:{port}"


async def test_the_second_address_is_tried_when_the_first_does_not_answer(
    post: Post, names: Callable[..., list[str]]
) -> None:
    async with receiving() as receiver:
        port = int(receiver.url.split(":")[2].partition("/")[0])
        names("two.test", ["127.0.0.3", "127.0.0.1"])
        issued = await post.add(f"http://two.test:{port}/hook")

        assert (await post.webhooks.test(issued.endpoint.id)).status == 204


async def test_tls_is_for_the_name_and_not_for_the_address(
    post: Post, names: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certify("hook.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with receiving(ssl_certfile=str(certificate), ssl_keyfile=str(key)) as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        names("hook.test", ["127.0.0.1"])
        names("other.test", ["127.0.0.1"])
        right = await post.add(f"https://hook.test:{port}/hook")
        wrong = await post.add(f"https://other.test:{port}/hook")

        taken = await post.webhooks.test(right.endpoint.id)
        refused = await post.webhooks.test(wrong.endpoint.id)

    assert (taken.status, len(receiver.received)) == (204, 1)
    assert "certificate" in (refused.error or "")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Give a name its addresses, look-up for look-up; the list of look-ups."""
    answers: dict[str, list[list[str]]] = {}
    looked_up: list[str] = []
    system = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return system(host, port, *args, **options)
        looked_up.append(name)
        found = answers[name].pop(0) if len(answers[name]) > 1 else answers[name][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    def name(host: str, *lookups: list[str]) -> list[str]:
        answers[host] = list(lookups)
        return looked_up

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return name


def certify(host: str, directory: Path) -> tuple[Path, Path]:
    """A certificate for a name that trusts itself, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={host}",
            "-addext",
            f"subjectAltName=DNS:{host}",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key
