"""A record, or the newest part of the audit, is checked without reading the rest."""

import pytest

from oban_powertools.errors import AuditRecordNotFoundError
from oban_powertools.operators.audit import verifying
from oban_powertools.operators.audit.records import FindingKind
from tests.operators.test_audit_chain import sealed, tamper, three_seals, write
from tests.support.by_hand import Hand


async def test_an_empty_audit_has_nothing_wrong(hand: Hand) -> None:
    found = await hand.powertools.audit.check()

    assert (found.sound, found.rows, found.seals) == (True, 0, 0)


async def test_the_newest_records_are_compared_with_their_seals_up_to_the_end_of_the_chain(hand: Hand) -> None:
    await three_seals(hand)
    await write(hand)

    found = await hand.powertools.audit.check()

    whole = await hand.powertools.audit.verify()
    assert (found.sound, found.rows, found.seals, found.unsealed) == (True, 10, 3, 1)
    assert found.head == whole.head


async def test_only_the_newest_are_read(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await three_seals(hand)
    monkeypatch.setattr(verifying, "PART", 3)

    found = await hand.powertools.audit.check()

    assert (found.sound, found.rows, found.seals) == (True, 3, 1)


@pytest.mark.parametrize("record_id", [1, 5, 9])
async def test_a_record_is_compared_with_its_hash_and_its_seal(hand: Hand, record_id: int) -> None:
    await three_seals(hand)

    found = await hand.powertools.audit.check(record_id)

    assert (found.sound, found.rows, found.seals) == (True, 1, 1)
    assert found.head.partition(":")[0] == str((record_id + 2) // 3)


async def test_a_record_that_is_not_sealed_yet_is_compared_with_its_hash(hand: Hand) -> None:
    await write(hand)

    found = await hand.powertools.audit.check(1)

    assert (found.sound, found.rows, found.seals, found.unsealed) == (True, 1, 0, 1)


async def test_a_record_that_was_changed_is_found_and_its_neighbours_are_sound(hand: Hand) -> None:
    await three_seals(hand)
    await tamper(hand, "audit", "UPDATE powertools.audit SET reason = 'another' WHERE id = 5")

    changed = await hand.powertools.audit.check(5)
    beside = await hand.powertools.audit.check(4)
    newest = await hand.powertools.audit.check()

    assert [(finding.kind, finding.audit_id) for finding in changed.findings] == [(FindingKind.CHANGED, 5)]
    assert beside.sound
    assert [finding.audit_id for finding in newest.findings] == [5]


async def test_a_record_that_was_removed_is_missing(hand: Hand) -> None:
    await three_seals(hand)
    await tamper(hand, "audit", "DELETE FROM powertools.audit WHERE id = 5")

    found = await hand.powertools.audit.check(5)

    assert [finding.kind for finding in found.findings] == [FindingKind.MISSING]


async def test_a_seal_that_was_rewritten_is_found_with_each_of_its_records(hand: Hand) -> None:
    await three_seals(hand)
    await tamper(
        hand, "audit_seals", "UPDATE powertools.audit_seals SET previous_hash = decode('ab', 'hex') WHERE id = 2"
    )

    found = await hand.powertools.audit.check(5)

    assert {finding.kind for finding in found.findings} == {FindingKind.CHAIN_BROKEN}


@pytest.mark.parametrize("cut", ["id > 2", "id = 2", "true"])
async def test_seals_that_are_gone_are_found_in_the_newest_part(hand: Hand, cut: str) -> None:
    await three_seals(hand)
    await tamper(hand, "audit_seals", f"DELETE FROM powertools.audit_seals WHERE {cut}")

    found = await hand.powertools.audit.check()

    assert {finding.kind for finding in found.findings} == {FindingKind.CHAIN_BROKEN}


async def test_an_audit_that_was_emptied_is_found(hand: Hand) -> None:
    await three_seals(hand)
    for table in ("audit", "audit_links", "audit_seals"):
        await tamper(hand, table, f"DELETE FROM powertools.{table}")

    found = await hand.powertools.audit.check()

    assert {finding.kind for finding in found.findings} == {FindingKind.CHAIN_BROKEN}


async def test_a_record_that_never_was_is_not_found(hand: Hand) -> None:
    await write(hand)
    await sealed(hand)

    with pytest.raises(AuditRecordNotFoundError):
        await hand.powertools.audit.check(77)
