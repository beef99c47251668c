"""The formats of messages: for whom each is, what it can tell of, and what secret it takes. No I/O.

The rule that must never break: no message that is stored or shown holds a secret; it is added when the message is sent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never
from urllib.parse import urlsplit

import orjson

from ..arguments import as_text, refuse
from ..errors import InvalidArgumentError, InvalidSettingError
from .cloudevents import EVENT_TYPES, WORKFLOW_TYPES, check_types
from .signing import check_secret, env_secret, new_secret, resolve_secret, sign

_ROUTING_KEY: Final = re.compile(r"[A-Za-z0-9]{32}")

_INCIDENTS: Final = ("incident.opened", "incident.acknowledged", "incident.resolved", "incident.reopened")
"""The changes of state of an incident; that it grew is none."""


class Format(StrEnum):
    """What is sent."""

    CLOUDEVENTS = "cloudevents"
    """Each event as it is, signed."""

    CHAT = "chat"
    """A text for people, as the incoming webhooks of chats take it."""

    PAGERDUTY = "pagerduty"
    """Alerts as PagerDuty's Events API v2 takes them."""

    ALERTMANAGER = "alertmanager"
    """Alerts as Alertmanager's API v2 takes them."""


class SecretKind(StrEnum):
    """What an endpoint's secret is for."""

    SIGNING = "signing"
    """It signs each message; one is made where none is given."""

    ROUTING_KEY = "routing_key"
    """It says whose message it is; the receiver makes it."""

    NONE = "none"
    """There is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """The row of a format."""

    types: tuple[str, ...]
    """What it can tell of."""

    default_types: tuple[str, ...]
    """What it tells of unless told otherwise."""

    secret: SecretKind
    """What secret it takes."""

    is_alert: bool = False
    """Whether the receiver keeps what is open, and has to be told when it is over, whatever else."""


FORMATS: Final[Mapping[Format, FormatRow]] = {
    Format.CLOUDEVENTS: FormatRow(types=EVENT_TYPES, default_types=WORKFLOW_TYPES, secret=SecretKind.SIGNING),
    Format.CHAT: FormatRow(types=EVENT_TYPES, default_types=_INCIDENTS, secret=SecretKind.NONE),
    Format.PAGERDUTY: FormatRow(
        types=_INCIDENTS, default_types=_INCIDENTS, secret=SecretKind.ROUTING_KEY, is_alert=True
    ),
    Format.ALERTMANAGER: FormatRow(types=_INCIDENTS, default_types=_INCIDENTS, secret=SecretKind.NONE, is_alert=True),
}
"""Format -> its row."""


def check_types_of(form: Format, types: object) -> list[str]:
    """The types that an endpoint of this format gets, as they are stored; None means the default.

    Raises:
        InvalidSettingError: One is not known or not told in this format, there is none, or they are not a list.
    """
    row = FORMATS[form]
    chosen = [*row.default_types] if types is None else check_types(types)
    if strange := [name for name in chosen or WORKFLOW_TYPES if name not in row.types]:
        raise InvalidSettingError("types", repr(strange), f"of {form} some of: {', '.join(row.types)}")
    return [] if chosen == [*WORKFLOW_TYPES] else chosen


def check_routing_key(secret: object) -> str:
    """The routing key as given.

    Raises:
        InvalidSettingError: It is none; the message does not repeat it.
    """
    if not (isinstance(secret, str) and _ROUTING_KEY.fullmatch(secret)):
        raise InvalidSettingError("secret", "no routing key", "the integration key, 32 letters and digits")
    return secret


def choose_secret(form: Format, secret: str | None, variable: str | None) -> tuple[str | None, str | None]:
    """The stored value, None where the format has no secret, and the secret to return to the caller.

    Raises:
        InvalidSettingError: The format takes none, or another, or needs one; the message does not repeat it.
        InvalidArgumentError: Both are given.
    """
    if secret is not None and variable is not None:
        raise InvalidArgumentError("secret", "there beside secret_from_env", "one of both")
    kind = FORMATS[form].secret
    if kind is SecretKind.NONE and (secret is not None or variable is not None):
        raise InvalidSettingError("secret", "a secret", f"none: {form} takes no secret")
    if variable is not None:
        return env_secret(as_text("secret_from_env", variable)), None
    match kind:
        case SecretKind.NONE:
            return None, None
        case SecretKind.ROUTING_KEY:
            return check_routing_key(secret), None
        case SecretKind.SIGNING:
            chosen = new_secret() if secret is None else check_secret(secret)
            return chosen, chosen
        case _:
            assert_never(kind)


def as_console_url(argument: str, value: object) -> str:
    """The address of a page, http or https.

    Raises:
        InvalidArgumentError: It is none.
    """
    url = as_text(argument, value)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise refuse(argument, url, "the address of a console, as in https://console.example/powertools")
    return url


def encode(
    form: Format, message: Mapping[str, Any], secrets: Sequence[str], timestamp: int
) -> tuple[bytes, dict[str, str]]:
    """The body of a message as it is sent, and its headers.

    Args:
        message: As stored.
        secrets: As in the database.
        timestamp: Seconds since 1970.

    Raises:
        WebhookSecretMissingError: A variable is not set in this process.
        InvalidSettingError: A variable does not hold a secret.
    """
    match form:
        case Format.CLOUDEVENTS:
            body = orjson.dumps(message)
            return body, {
                "content-type": "application/cloudevents+json; charset=utf-8",
                "webhook-id": message["id"],
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(message["id"], timestamp, body, secrets),
            }
        case Format.PAGERDUTY:
            [key, *_] = [found for entry in secrets for found in resolve_secret(entry)]
            plain = {"routing_key": check_routing_key(key), **message["body"]}
            return orjson.dumps(plain), {"content-type": "application/json"}
        case Format.CHAT | Format.ALERTMANAGER:
            return orjson.dumps(message["body"]), {"content-type": "application/json"}
        case _:
            assert_never(form)
