"""Check the doctor's own connection: the clock, and what stands between it and the server."""

from datetime import UTC, datetime, timedelta
from typing import Final

from ...database import Session
from .finding import Finding, Level

_MOST_SKEW: Final = timedelta(seconds=5)


async def check_session(session: Session) -> list[Finding]:
    """This machine's clock beside the database's, and a pooler in between."""
    before = datetime.now(UTC)
    row = await session.one("doctor_session")
    assert row is not None
    after = datetime.now(UTC)
    findings = [
        Finding(
            check="session",
            level=Level.NOTE,
            subject="the server",
            found=f"PostgreSQL {row['server_version']}",
            expected="PostgreSQL 14 or newer",
            todo="keep it on the newest minor release",
        )
    ]
    skew = max(before - row["clock"], row["clock"] - after)
    if skew > _MOST_SKEW:
        findings.append(
            Finding(
                check="session",
                level=Level.WARNING,
                subject="this machine's clock",
                found=f"{skew.total_seconds():.0f} s off",
                expected="within 5 s of the database's; ours decides nothing, but Oban's cron goes by it",
                todo="synchronise the clocks of all nodes",
            )
        )
    # A pooler answers the protocol's key request itself, with a number of its own.
    if session.conn.info.backend_pid != row["pid"]:
        findings.append(
            Finding(
                check="session",
                level=Level.WARNING,
                subject="this connection",
                found="goes through a pooler",
                expected="a direct connection for listening and for migrations",
                todo="in transaction mode set listen_dsn to a direct DSN, and run install and upgrade on a direct one",
            )
        )
    return findings
