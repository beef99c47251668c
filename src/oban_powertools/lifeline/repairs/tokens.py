"""The token that executes a preview, or a manifest, once; what is stored of it is its hash.

No I/O. The rule that must never break: nobody can guess a token, and none is shown by a log (security/S3).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from ...arguments import as_text

READY_FOR: Final = timedelta(minutes=15)
"""How long a token is valid; database clock."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token."""

    text: str = field(repr=False)
    """What its actor gets."""

    @classmethod
    def random(cls) -> Self:
        """One that nobody gets: the place of a token whose row has no id yet."""
        return cls(secrets.token_hex(32))

    @classmethod
    def of_preview(cls, secret: bytes, nonce: bytes) -> Self:
        """That of a stored preview, always the same: it cannot be guessed without the database's secret."""
        return cls(hmac.new(secret, nonce, "sha256").hexdigest())

    @classmethod
    def of_bulk(cls, secret: bytes, bulk_id: int) -> Self:
        """That of a stored manifest, likewise."""
        return cls(hmac.new(secret, f"bulk {bulk_id}".encode(), "sha256").hexdigest())

    @classmethod
    def of_caller(cls, text: str) -> Self:
        """One that a caller brings; it may be forged, and hold anything.

        Raises:
            InvalidArgumentError: It is no text.
        """
        return cls(as_text("preview_token", text))

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()
