"""Secrets and signatures as specified by Standard Webhooks.

The rule that must never break: no error and no log line contains a secret.
Source: the Standard Webhooks specification, version 1.0.
"""

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ..errors import InvalidSettingError, WebhookSecretMissingError

PREFIX: Final = "whsec_"
_ENV: Final = "env:"
_BYTES: Final = range(24, 65)
_EXPECTED: Final = "whsec_ and 24 to 64 bytes in base64"


def new_secret() -> str:
    """A random secret of 32 bytes: ``whsec_...``."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: object) -> str:
    """Check a secret and return it.

    Raises:
        InvalidSettingError: It is no secret of this form; the message does not repeat it.
    """
    if not isinstance(secret, str):
        raise InvalidSettingError("secret", f"of type {type(secret).__name__}", "text, as whsec_...")
    _key(secret)
    return secret


def env_secret(variable: str) -> str:
    """What is stored for a secret in the environment of the delivering process.

    Raises:
        InvalidSettingError: It cannot be the name of a variable.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        # It may be the secret itself, so it is not shown.
        raise InvalidSettingError("secret_from_env", "no variable's name", "letters, digits and _")
    return _ENV + variable


def sign(message_id: str, timestamp: int, body: bytes, stored: Sequence[str]) -> str:
    """The header ``webhook-signature``: a signature for each secret, the newest first.

    Args:
        timestamp: Seconds since 1970, as in ``webhook-timestamp``.
        stored: As in the database; a variable may hold several secrets, separated by spaces.

    Raises:
        WebhookSecretMissingError: A variable is not set in this process.
        InvalidSettingError: A variable does not hold a secret.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = [_key(secret) for entry in stored for secret in resolve_secret(entry)]
    digests = (hmac.new(key, signed, sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def resolve_secret(entry: str) -> list[str]:
    """The secrets of an entry of the database: itself, or what the variable holds that it names.

    Raises:
        WebhookSecretMissingError: The variable is not set in this process.
    """
    if not entry.startswith(_ENV):
        return [entry]
    variable = entry.removeprefix(_ENV)
    if not (secrets := os.environ.get(variable, "").split()):
        raise WebhookSecretMissingError(variable)
    return secrets


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _BYTES:
        raise InvalidSettingError("the webhook secret", "of another form", _EXPECTED) from None
    return key
