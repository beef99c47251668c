"""Check where a message may go: well-formed URLs, and public addresses.

The rule that must never break: the address that was checked is the one that is connected to, so a name cannot lead
inside by pointing elsewhere a moment later.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import InvalidSettingError

type Address = IPv4Address | IPv6Address

_LONGEST_URL: Final = 2000
_UNICAST: Final = IPv6Network("2000::/3")
"""The public unicast addresses of IPv6."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_METADATA: Final = IPv4Address("168.63.129.16")
"""Azure's metadata address, which is not private; all others are link-local, unique local or shared."""


class RefusedAddressError(Exception):
    """The address is refused; the message says what kind it is."""


def check_url(url: str, *, allow_private: bool) -> str:
    """Check a URL and return it. Names are not resolved here.

    Raises:
        InvalidSettingError: It is no URL that may be sent to; the message shows only its scheme and host.
    """
    expected = "a URL such as https://example.com/hook, without user, password and fragment"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidSettingError("the webhook's URL", "unreadable", expected) from None
    safe_url = f"{parts.scheme}://{host or ''}"
    if not host or port == 0 or parts.scheme not in ("http", "https") or _is_odd(url, parts):
        raise InvalidSettingError("the webhook's URL", safe_url, expected)
    if not allow_private and parts.scheme != "https":
        raise InvalidSettingError("the webhook's URL", safe_url, "https; allow_private (--allow-private) permits http")
    if (literal := _literal(host)) and not allow_private:
        try:
            check_address(literal)
        except RefusedAddressError as error:
            raise InvalidSettingError(
                "the webhook's URL", f"at {error}", "a public address, or allow_private"
            ) from None
    return url


def check_address(address: Address) -> None:
    """Refuse an address that is not public, in any notation.

    Raises:
        RefusedAddressError: As named.
    """
    target = _target_of(address)
    unicast = target in _UNICAST if isinstance(target, IPv6Address) else not target.is_multicast
    if not unicast or not target.is_global or target == _METADATA:
        raise RefusedAddressError(f"{address}, which is not a public address")


async def resolve_host(host: str, port: int, *, allow_private: bool) -> Sequence[str]:
    """The addresses of a host, in the system's order of preference; all of them have been checked.

    Raises:
        RefusedAddressError: One of them is not public.
        OSError: The name has no address.
    """
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in infos))
    if not allow_private:
        for address in addresses:
            check_address(ip_address(address))
    return addresses


def _target_of(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if embedded := address.ipv4_mapped or address.sixtofour:
        return embedded
    if address.teredo:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 or address in _COMPATIBLE else address


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_odd(url: str, parts: SplitResult) -> bool:
    return len(url) > _LONGEST_URL or "@" in parts.netloc or bool(parts.fragment) or not url.isprintable() or " " in url
