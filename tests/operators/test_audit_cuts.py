"""What is taken off an end of the audit shows, also when the rest is as it was written."""

import pytest

from oban_powertools.operators.audit.records import FindingKind
from tests.operators.test_audit_chain import sealed, three_seals, verify, write
from tests.operators.test_operator_calls import ROWS, Scene, scene
from tests.support.by_hand import GUARD, UNGUARD, Hand

__all__ = ["scene"]

EVERYTHING = "DELETE FROM powertools.audit; DELETE FROM powertools.audit_links; DELETE FROM powertools.audit_seals"
RESET = "UPDATE powertools.audit_chain SET sealed_to = 0, pruned_to = 0, pruned_hash = ''"
UNTRACED = {
    "queues.pause",
    "queues.resume",
    "queues.scale",
    "jobs.reveal",
    "workflows.reveal",
    "workflows.hold",
    "workflows.release",
    "workflows.complete_step",
    "events.publish",
    "audit.export",
    "lifeline.preview_repair",
    "lifeline.preview_bulk",
    "lifeline.approve_repair",
    "webhooks.add",
    "webhooks.update",
    "webhooks.rotate_secret",
    "webhooks.disable",
    "webhooks.enable",
    "webhooks.remove",
    "webhooks.replay",
}
"""Calls that leave nothing but their record."""


def last(seals: int) -> str:
    return (
        "DELETE FROM powertools.audit a USING powertools.audit_links l "
        f"WHERE l.audit_id = a.id AND l.seal_id > {3 - seals}; "
        f"DELETE FROM powertools.audit_links WHERE seal_id > {3 - seals}; "
        f"DELETE FROM powertools.audit_seals WHERE id > {3 - seals}"
    )


def first(chain: str) -> str:
    return (
        f"UPDATE powertools.audit_chain c SET {chain} FROM powertools.audit_seals s WHERE s.id = 2; "
        "DELETE FROM powertools.audit a USING powertools.audit_links l WHERE l.audit_id = a.id AND l.seal_id <= 2; "
        "DELETE FROM powertools.audit_links WHERE seal_id <= 2; DELETE FROM powertools.audit_seals WHERE id <= 2"
    )


async def tamper(hand: Hand, statements: str) -> None:
    """As a superuser with the triggers switched off, and on again."""
    await hand.rows(f"{UNGUARD}; {statements}; {GUARD}")


@pytest.mark.parametrize(
    "cut",
    [
        last(1),
        last(2),
        EVERYTHING,
        "TRUNCATE powertools.audit, powertools.audit_links, powertools.audit_seals",
        first("pruned_to = 2, pruned_hash = s.hash"),
        first(
            "pruned_to = 2, pruned_hash = s.hash, pruned_previous_hash = s.previous_hash, "
            "pruned_sealed_at = s.sealed_at, pruned_kept_until = s.kept_until, "
            "pruned_digest = powertools.seal_digest(2)"
        ),
        first(
            "pruned_to = 2, pruned_hash = s.hash, pruned_previous_hash = s.previous_hash, "
            "pruned_sealed_at = '2020-01-01', pruned_kept_until = '2020-01-01', "
            "pruned_digest = powertools.seal_digest(2)"
        ),
        "UPDATE powertools.audit_seals SET kept_until = sealed_at",
    ],
)
async def test_a_cut_is_found_and_stays_found(hand: Hand, cut: str) -> None:
    await three_seals(hand)
    assert (await verify(hand)).sound

    await tamper(hand, cut)
    at_once = await verify(hand)
    await write(hand)
    await sealed(hand)

    assert FindingKind.CHAIN_BROKEN in [finding.kind for finding in at_once.findings]
    assert FindingKind.CHAIN_BROKEN in [finding.kind for finding in (await verify(hand)).findings]


async def test_what_was_sealed_is_kept_as_long_as_was_said_then(hand: Hand) -> None:
    await three_seals(hand)
    await hand.rows("UPDATE powertools.audit_chain SET kept_for_at_least = '0'")
    await write(hand)
    await sealed(hand)

    assert await hand.one("SELECT powertools.prune_audit_v1('0', 9)") == 0
    assert (await verify(hand)).sound


async def test_the_number_of_seals_never_falls(hand: Hand) -> None:
    await three_seals(hand)

    with pytest.raises(Exception, match="append-only"):
        await hand.rows("UPDATE powertools.audit_chain SET sealed_to = 2")


@pytest.mark.parametrize("name", ROWS)
async def test_what_an_operator_did_is_missed_when_the_whole_audit_is_reset(scene: Scene, name: str) -> None:
    hand, row = scene.hand, ROWS[name]
    hand.powertools._services.guard._authorize = lambda *_: True
    if row.prepare is not None:
        await row.prepare(hand.powertools, scene)
    await tamper(hand, f"{EVERYTHING}; {RESET}")
    before = len((await verify(hand)).findings)
    await row.call(hand.powertools, scene)
    assert len((await verify(hand)).findings) <= before  # its record stands for what the actor did just before

    await tamper(hand, f"{EVERYTHING}; {RESET}")

    found = await verify(hand)
    assert {finding.kind for finding in found.findings} <= {FindingKind.UNRECORDED}
    assert (len(found.findings) > before) is (name not in UNTRACED)


async def test_a_rescue_is_missed_too(hand: Hand) -> None:
    await hand.rows(
        "INSERT INTO powertools.rescues "
        "(job_id, attempt, attempted_at, attempted_by, why, action, crashes, queue, worker) "
        "VALUES (1, 1, now(), '{a}', 'gone', 'retried', 1, 'default', 'w')"
    )

    [found] = (await verify(hand)).findings

    assert found.kind is FindingKind.UNRECORDED
    assert "by 'powertools' at" in found.message
