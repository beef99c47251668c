"""Who is at the browser: the user of this machine, somebody with a password, or whom a trusted proxy names.

Each is a ``FindActor`` of the console. The rules that must never break: a name that a browser could send itself counts
only where the peer is the proxy; a wrong name takes as long as a wrong password.
"""

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode
from binascii import Error as NoBase64Error
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ...operators.authorization import Actor
from ..page import FindActor
from .passwords import LONGEST_PASSWORD, Hash, PasswordFile

KNOWN_FOR: Final = 600.0
"""Seconds for which a password that was right is not hashed again."""

WRONG_A_MINUTE: Final = 10
"""Wrong passwords from one address within a minute; then its next tries wait."""

_MINUTE: Final = 60.0
_MOST_KNOWN: Final = 1000
_AT_ONCE: Final = 2
"""Hashes that are computed at the same time: each takes 32 MiB."""

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="Powertools", charset="UTF-8"'}

type Network = IPv4Network | IPv6Network


def always(actor_id: str) -> FindActor:
    """The same user for everybody who can reach the console: for loopback."""
    actor = Actor(id=actor_id)
    return lambda _: actor


def named_by_proxy(proxies: Sequence[Network], header: str) -> FindActor:
    """The user that a proxy has named in a header.

    Args:
        proxies: Only what comes from there is answered.
        header: It must be there once: one that a browser sent beside the proxy's is no answer to who it is.
    """

    def find(connection: HTTPConnection) -> Actor | None:
        if not _is_from(connection, proxies):
            raise PermissionError("This console is reached through its proxy only.")
        names = connection.headers.getlist(header)
        name = names[0].encode("latin-1").decode("utf-8", "replace").strip() if len(names) == 1 else ""
        return Actor(id=name) if name else None

    return find


def _is_from(connection: HTTPConnection, networks: Sequence[Network]) -> bool:
    try:
        peer = ip_address(connection.client.host if connection.client else "")
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)  # an IPv4 peer of a socket that takes both
    return any((mapped or peer) in network for network in networks)


class WithPassword:
    """The user whose name and password the browser sends along: HTTP Basic, so there is no session to steal or forget.

    Args:
        file: Users and hashes.
        clock: Seconds, monotonic.
    """

    def __init__(self, file: PasswordFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._nobodys = Hash.of(secrets.token_hex())

    async def __call__(self, connection: HTTPConnection) -> Actor:
        """The user.

        Raises:
            HTTPException: 401: nobody, or a wrong password; 429: too many of these.
        """
        name, password = _credentials(connection.headers.get("authorization", ""))
        if not name:
            raise HTTPException(401, headers=_CHALLENGE)
        known = self._file.hashes().get(name)
        proof = hmac.digest(self._key, f"{name}\0{known}\0{password}".encode(), hashlib.sha256)
        if known is not None and self._known.get(proof, 0.0) > self._clock():
            return Actor(id=name)
        peer = connection.client.host if connection.client else ""
        self._check_tries(peer)
        async with self._places:
            right = await asyncio.to_thread((known or self._nobodys).is_of, password)
        if not right or known is None:
            _remember(self._wrong, peer, [*self._recent(peer), self._clock()])
            raise HTTPException(401, headers=_CHALLENGE)
        _remember(self._known, proof, self._clock() + KNOWN_FOR)
        return Actor(id=name)

    def _check_tries(self, peer: str) -> None:
        recent = self._recent(peer)
        if len(recent) >= WRONG_A_MINUTE:
            wait = int(recent[0] + _MINUTE - self._clock()) + 1
            sentence = f"Too many wrong passwords from this address: wait {wait} seconds."
            raise HTTPException(429, sentence, {"Retry-After": str(wait)})

    def _recent(self, peer: str) -> list[float]:
        since = self._clock() - _MINUTE
        return [at for at in self._wrong.get(peer, ()) if at > since]


def _remember[K, V](memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST_KNOWN:
        memory.popitem(last=False)


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 4 * LONGEST_PASSWORD:
        return "", ""
    try:
        name, _, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (NoBase64Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if len(password) <= LONGEST_PASSWORD else ("", "")
