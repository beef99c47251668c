"""Verify the audit: every row against its hash, every seal against its rows and the seal before.

It reads one snapshot, a page at a time, in bounded memory. The rule that must never break: what cannot be compared is
a finding, never "sound".
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from psycopg.rows import DictRow

from ...database import Session
from .records import AuditFinding, FindingKind, Verification

_ROWS: Final = 5000
"""Rows of one page."""

_SEALS: Final = 20
"""Seals of one page; each has at most 1,000 rows."""

_BEFORE_ALL: Final = -(2**63)
"""Below every id, also that of a row that was smuggled in."""

PART: Final = 1000
"""Records of the newest part."""

_MOST: Final = 100
"""Most findings that are reported."""

_SAID: Final = {
    FindingKind.CHANGED: "record {} was changed after it was written",
    FindingKind.MISSING: "record {} was removed, and not by retention",
    FindingKind.INSERTED: "record {} was put in behind the audit's back",
}


async def verify(session: Session, head: str | None = None) -> Verification:
    """Compare all records and seals.

    Args:
        session: In autocommit.
        head: ``seal:hash`` from an earlier verification or from the log; the chain must contain it.

    Locks: none; one transaction reads the audit as it is at its start, whatever retention removes meanwhile.
    """
    async with session.snapshot():  # from which retention removes nothing
        findings = await _unguarded(session)
        rows = 0
        async for count, breaks in _rows(session):
            rows += count
            findings += breaks[: _MOST - len(findings)]
        findings += (await _unrecorded(session))[: _MOST - len(findings)]
        chain = _Chain(head)
        await chain.follow(session)
        facts = await session.one("audit_chain")
        assert facts is not None
    findings += chain.findings[: _MOST - len(findings)]
    return Verification(
        rows=rows, seals=chain.seals, unsealed=facts["unsealed"], head=chain.head, findings=tuple(findings)
    )


async def verify_part(session: Session, record_id: int | None) -> Verification | None:
    """Compare one record and its seal, or the newest ``PART`` records and their seals.

    What happened elsewhere without a record is not looked for, nor what is older.

    Returns:
        None when there is no such record.

    Args:
        session: In autocommit.

    Locks: none; as ``verify``.
    """
    async with session.snapshot():  # from which retention removes nothing
        part = await session.one("audit_part", {"id": record_id, "most": PART})
        assert part is not None
        if record_id is not None and not part["linked"]:
            return None
        findings = await _unguarded(session)
        most = 1 if record_id is not None else 2 * PART
        page = await session.one("verify_audit_rows", {"after": part["after"], "page": most})
        assert page is not None
        findings += _breaks(page)
        chain = _Chain(None)
        if part["first_seal"] is not None:
            await chain.follow_part(session, part["first_seal"], part["last_seal"], part["hash"])
        facts = await session.one("audit_chain")
        assert facts is not None
    found = tuple((findings + chain.findings)[:_MOST])
    return Verification(
        rows=page["rows"], seals=chain.seals, unsealed=facts["unsealed"], head=chain.head, findings=found
    )


async def _unguarded(session: Session) -> list[AuditFinding]:
    return [
        AuditFinding(
            kind=FindingKind.UNGUARDED,
            message=f"trigger {row['trigger']} of {row['relation']} is missing or does not fire always",
        )
        for row in await session.all("audit_unguarded")
    ]


def _breaks(page: DictRow) -> list[AuditFinding]:
    kinds = map(FindingKind, page["kinds"])
    return [
        AuditFinding(kind=kind, message=_SAID[kind].format(audit_id), audit_id=audit_id)
        for audit_id, kind in zip(page["ids"], kinds, strict=True)
    ]


async def _rows(session: Session) -> AsyncIterator[tuple[int, Sequence[AuditFinding]]]:
    after = _BEFORE_ALL
    while True:
        page = await session.one("verify_audit_rows", {"after": after, "page": _ROWS})
        if page is None or page["upto"] is None:
            return
        after = page["upto"]
        yield page["rows"], _breaks(page)


async def _unrecorded(session: Session) -> list[AuditFinding]:
    """Find changes that left a trace in other tables but have no record."""
    return [
        AuditFinding(
            kind=FindingKind.UNRECORDED,
            message=f"{row['kind']} {row['id']} by {row['actor']!r} at {row['at']:%Y-%m-%d %H:%M:%S%z} has no record",
        )
        for row in await session.all("audit_unrecorded")
    ]


class _Chain:
    """Follows the seals one after the other.

    Args:
        expected_head: A head that must be among them; None expects none.
    """

    def __init__(self, expected_head: str | None) -> None:
        self._expected_head = expected_head
        self._last = 0
        self._hash = ""
        self.seals = 0
        self.findings: list[AuditFinding] = []

    @property
    def head(self) -> str:
        return f"{self._last}:{self._hash}"

    async def follow(self, session: Session) -> None:
        start = await session.one("audit_chain")
        assert start is not None
        self._last, self._hash = start["pruned_to"], start["pruned_hash"]
        self._check_start(start)
        met = self._expected_head is None or self._is_before(self._last) or self.head == self._expected_head
        while page := await session.all("verify_audit_seals", {"after": self._last, "page": _SEALS}):
            for seal in page:
                self._check(seal)
                self._last, self._hash = seal["id"], seal["hash"]
                self.seals += 1
                met = met or self.head == self._expected_head
        self._check_end(start["sealed_to"])
        if not met:
            head = self._expected_head
            message = f"the chain does not hold the head {head}: it was rewritten or cut off since it was noted"
            self.findings.append(AuditFinding(kind=FindingKind.HEAD_UNKNOWN, message=message))

    async def follow_part(self, session: Session, first: int, last: int, before: str | None) -> None:
        """Follow the seals from one to another.

        Args:
            before: The hash of the seal before the first; None when that is gone.
        """
        self._last, self._hash = first - 1, before or ""
        while self._last < last:
            args = {"after": self._last, "page": min(_SEALS, last - self._last)}
            page = [seal for seal in await session.all("verify_audit_seals", args) if seal["id"] <= last]
            for seal in page:
                self._check(seal)
                self._last, self._hash = seal["id"], seal["hash"]
                self.seals += 1
            if not page:
                break
        self._check_end(last)

    def _check_end(self, sealed_to: int) -> None:
        if self._last < sealed_to:
            message = f"seals {self._last + 1} to {sealed_to} were made and are gone: the end of the chain was cut off"
            self._break(sealed_to, None, message)

    def _check_start(self, start: DictRow) -> None:
        pruned_to = start["pruned_to"]
        if not start["pruned_sound"]:
            self._break(pruned_to, None, f"the chain begins behind seal {pruned_to}, which retention did not remove")
        elif start["pruned_early"]:
            self._break(
                pruned_to, None, f"seal {pruned_to} was removed before its time: the chain's beginning was cut off"
            )

    def _is_before(self, pruned_to: int) -> bool:
        with suppress(ValueError):
            return int((self._expected_head or "").partition(":")[0]) < pruned_to
        return False

    def _check(self, seal: dict[str, int | str | bool | None]) -> None:
        number = seal["id"]
        assert isinstance(number, int)
        if number != self._last + 1 or seal["previous_hash"] != self._hash:
            self._break(
                number, None, f"seal {number} does not follow seal {self._last}: a seal was removed or rewritten"
            )
        if seal["sound"]:
            return
        missing, added = seal["missing"], seal["added"]
        if isinstance(missing, int):
            self._break(number, missing, f"record {missing} was removed with its link from seal {number}")
        elif isinstance(added, int):
            self._break(number, added, f"record {added} was put into seal {number} afterwards")
        else:
            rows = f"{seal['first_id']} to {seal['last_id']}"
            self._break(number, None, f"the hash of seal {number} is not that of its records, {rows}")

    def _break(self, seal_id: int, audit_id: int | None, message: str) -> None:
        self.findings.append(
            AuditFinding(kind=FindingKind.CHAIN_BROKEN, message=message, audit_id=audit_id, seal_id=seal_id)
        )
