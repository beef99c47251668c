"""Signatures and secrets: what an independent package accepts, and that a secret is shown once."""

import base64
import logging
import pickle
import time
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from oban_powertools.errors import InvalidSettingError, WebhookSecretMissingError
from oban_powertools.webhooks.signing import check_secret, env_secret, new_secret, sign
from tests.support.by_hand import Hand
from tests.support.receiver import receiving
from tests.webhooks.conftest import ADA, Post

BODY = '{"text": "größer"}'.encode()


def headers(*stored: str) -> dict[str, str]:
    at = int(time.time())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign("msg_1", at, BODY, stored),
    }


def test_both_secrets_of_a_rotation_sign_and_no_other() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    signed = headers(new, old)

    assert Webhook(new).verify(BODY, signed) == Webhook(old).verify(BODY, signed) == {"text": "größer"}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", signed)


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_of_the_receiver_is_taken(size: int) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * size).decode()

    assert check_secret(secret) == secret
    assert Webhook(secret).verify(BODY, headers(secret))


@pytest.mark.parametrize(
    "secret",
    ["canary", "whsec_canary!", "whsec_=", "whsec_" + base64.b64encode(b"canary").decode(), "whsec_" + "A" * 400],
)
def test_another_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        check_secret(secret)

    assert "of another form" in str(caught.value)
    assert secret not in str(caught.value) + repr(caught.value) + repr(pickle.dumps(caught.value))


def test_a_variable_of_the_environment_can_hold_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = new_secret(), new_secret()
    stored = env_secret("BILLING_SECRET")
    with pytest.raises(WebhookSecretMissingError, match="BILLING_SECRET"):
        headers(stored)

    monkeypatch.setenv("BILLING_SECRET", f"{new} {old}")

    assert Webhook(new).verify(BODY, headers(stored)) == Webhook(old).verify(BODY, headers(stored))
    with pytest.raises(InvalidSettingError, match="no variable's name") as caught:
        env_secret(new)
    assert new not in str(caught.value)


async def test_after_a_rotation_both_secrets_sign_until_the_old_one_expires(post: Post) -> None:
    async with receiving() as receiver:
        first = await post.add(receiver.url)
        rotated = await post.webhooks.rotate_secret(first.endpoint.id, keep_old_for=timedelta(hours=1), **ADA)
        await post.webhooks.test(first.endpoint.id)
        await post.hand.rows(
            "UPDATE powertools.webhook_secrets SET expires_at = now() - interval '1 s' WHERE place = 2"
        )
        await post.webhooks.test(first.endpoint.id)

    both, one = receiver.received
    old, new = first.secret or "", rotated.secret or ""
    both.verify(old)
    both.verify(new)
    one.verify(new)
    with pytest.raises(WebhookVerificationError):
        one.verify(old)
    assert old != new
    assert rotated.endpoint.old_secret_until is not None
    await post.webhooks.sweep()
    assert await post.hand.one("SELECT count(*) FROM powertools.webhook_secrets") == 1


async def test_a_second_rotation_leaves_two_secrets(post: Post) -> None:
    async with receiving() as receiver:
        first = await post.add(receiver.url)
        second, third = [await post.webhooks.rotate_secret(first.endpoint.id, **ADA) for _ in range(2)]
        await post.webhooks.test(first.endpoint.id)

    [message] = receiver.received
    message.verify(second.secret or "")
    message.verify(third.secret or "")
    with pytest.raises(WebhookVerificationError):
        message.verify(first.secret or "")


async def test_a_secret_of_the_environment_is_not_in_the_database(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = new_secret()
    async with receiving() as receiver:
        issued = await post.add(receiver.url, secret_from_env="BILLING_SECRET")
        missing = await post.webhooks.test(issued.endpoint.id)
        monkeypatch.setenv("BILLING_SECRET", secret)
        sent = await post.webhooks.test(issued.endpoint.id)

    assert issued.secret is None
    assert "BILLING_SECRET" in (missing.error or "") and sent.error is None
    receiver.received[0].verify(secret)
    assert [text for text in await everything_stored(post.hand) if secret in text] == []


async def test_a_secret_is_shown_once_and_nowhere_else(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    old, new = new_secret(), new_secret()
    async with receiving(500, 410) as receiver:
        issued = await post.add(f"{receiver.url}/of-the-receiver?key=of-the-receiver", secret=old)
        rotated = await post.webhooks.rotate_secret(issued.endpoint.id, secret=new, **ADA)
        await post.finish_workflows(2)
        await post.deliver(issued)
        await post.pass_time(timedelta(minutes=1))
        await post.run_job(issued)
        await post.webhooks.test(issued.endpoint.id)
        listed = await post.webhooks.list()
        deliveries = await post.deliveries(issued)

    assert (issued.secret, rotated.secret) == (old, new)
    told = [repr(issued), repr(rotated), repr(listed), repr(deliveries), caplog.text]
    told += [repr(dict(message.headers)) + message.body.decode() for message in receiver.received]
    keys = [text for secret in (old, new) for text in (secret, secret.removeprefix("whsec_"))]
    assert "webhook 1 is disabled" in caplog.text
    assert "of-the-receiver" not in caplog.text + repr(listed)
    assert [text for text in told for key in keys if key in text] == []
    stored = [text for text in await everything_stored(post.hand) if any(key in text for key in keys)]
    assert len(stored) == 2 and all(text.startswith("webhook_secrets ") for text in stored)


async def everything_stored(hand: Hand) -> list[str]:
    """Every row of every table of ours and Oban's, as text."""
    tables = await hand.rows(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('powertools', 'public') ORDER BY 2"
    )
    found: list[str] = []
    for table in tables:
        rows: list[Any] = await hand.rows(f"SELECT t::text AS text FROM {table['schemaname']}.{table['tablename']} t")
        found += [f"{table['tablename']} {row['text']}" for row in rows]
    return found
