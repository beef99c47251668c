"""A file of users and the hashes of their passwords: read for every change of it, written one user at a time.

A line is ``NAME:scrypt$N$R$P$SALT$HASH``; a line that begins with ``#`` says something to people. Hashes are scrypt of
the standard library.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from base64 import b64decode, b64encode
from binascii import Error as NoBase64Error
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ...errors import InvalidSettingError
from ...operators.authorization import find_actor

SHORTEST: Final = 12
"""Characters of a password."""

LONGEST_PASSWORD: Final = 1000
"""Characters of a name or a password; more is not hashed."""

_COST: Final = (2**15, 8, 1)
"""N, r and p: 32 MiB and some 0.1 s for each try."""

_MOST_MEMORY: Final = 2**26
_SALT: Final = 16


@dataclass(frozen=True, slots=True)
class Hash:
    """The hash of one password."""

    cost: tuple[int, int, int]
    """N, r and p of scrypt."""

    salt: bytes
    """Random."""

    digest: bytes
    """What scrypt makes of the password."""

    @classmethod
    def of(cls, password: str) -> Self:
        """A new hash of a password."""
        salt = secrets.token_bytes(_SALT)
        return cls(_COST, salt, _scrypt(password, salt, _COST))

    @classmethod
    def read(cls, text: str) -> Self:
        """A hash of its text.

        Raises:
            ValueError: It is none.
        """
        kind, *numbers, salt, digest = text.split("$")
        n, r, p = map(int, numbers)
        if kind != "scrypt" or not 128 * n * r < _MOST_MEMORY or not (n > 1 and r > 0 and 0 < p < 17):
            raise ValueError(kind)
        return cls((n, r, p), b64decode(salt, validate=True), b64decode(digest, validate=True))

    def __str__(self) -> str:
        parts = [*map(str, self.cost), b64encode(self.salt).decode(), b64encode(self.digest).decode()]
        return "$".join(["scrypt", *parts])

    def is_of(self, password: str) -> bool:
        """Whether it is this password's, in a time that does not tell how near it is. Takes about 0.1 s."""
        return hmac.compare_digest(self.digest, _scrypt(password, self.salt, self.cost))


class PasswordFile:
    """The file.

    Args:
        path: Where it is.

    Raises:
        InvalidSettingError: It cannot be read, others may write it, or a line is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._hashes: Mapping[str, Hash] = {}
        self.hashes()

    def hashes(self) -> Mapping[str, Hash]:
        """Name -> hash, as the file has them now.

        Raises:
            InvalidSettingError: As when it is made.
        """
        try:
            status = self._path.stat()
            if (changed := (status.st_mtime_ns, status.st_size)) != self._read_at:
                _check_mode(self._path, status)
                self._hashes = _read(self._path)
                self._read_at = changed
        except (OSError, UnicodeDecodeError) as error:
            raise _refuse(self._path, f"unreadable ({error})") from error
        return self._hashes


def set_password(path: Path, name: str, password: str) -> bool:
    """Set the password of a user, whole or not at all; makes the file where it is missing, for its owner alone.

    Returns: Whether the user is new.

    Raises:
        InvalidSettingError: The name or the password will not do, or the file is none.
        OSError: It cannot be written.
    """
    _check_name(name)
    if not SHORTEST <= len(password) <= LONGEST_PASSWORD:
        raise InvalidSettingError("the password", f"{len(password)} characters long", f"{SHORTEST} or more")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition(":")[0] != name]
    text = "\n".join([*kept, f"{name}:{Hash.of(password)}"]) + "\n"
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            Path(unfinished).chmod(stat.S_IMODE(path.stat().st_mode))
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return len(kept) == len(lines)


def _check_name(name: str) -> None:
    actor = None
    with suppress(ValueError):
        actor = find_actor(name)
    if actor is None or actor.id != name or ":" in name or not name.isprintable() or name.startswith("#"):
        raise InvalidSettingError(
            "the name", repr(name[:80]), "one without a colon and blanks around it, which is not reserved"
        )


def _check_mode(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refuse(path, "a file that others may write")


def _read(path: Path) -> Mapping[str, Hash]:
    hashes: dict[str, Hash] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, text = line.partition(":")
        try:
            _check_name(name)
            hashes[name] = Hash.read(text.strip())
        except (ValueError, NoBase64Error, InvalidSettingError) as error:
            raise _refuse(path, f"wrong in line {number}") from error
    if not hashes:
        raise _refuse(path, "empty")
    return hashes


def _refuse(path: Path, found: str) -> InvalidSettingError:
    return InvalidSettingError(f"the password file {path}", found, "lines that powertools password has written")


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY, dklen=32)
