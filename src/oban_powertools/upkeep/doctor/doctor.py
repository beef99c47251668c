"""Run the checks one after another, each in a transaction of its own, and report."""

from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

from ... import schema
from ...database import Session
from ...database.session_settings import is_pooled
from ...privacy.logs import find_logger, first_line, format_error
from ...schema import SchemaStatus
from .catalog import check_functions, check_relations, check_triggers
from .checks import ROW_CHECKS
from .finding import Broken, Finding, Level, Report
from .invariants import check_all, check_sample
from .oban_defects import check_oban
from .session import check_session

logger: Final = find_logger(__name__)

type Check = Callable[[Session], Awaitable[list[Finding]]]

MOST: Final = 20
"""Findings of one check."""

QUICK: Final = "10s"
"""How long one check may take, as PostgreSQL's statement_timeout counts."""

_ORDER: Final = tuple(Level)
_PLAIN: Final[dict[str, Check]] = {
    "session": check_session,
    "oban": check_oban,
    "functions": check_functions,
    "relations": check_relations,
    "triggers": check_triggers,
    **{check.name: check for check in ROW_CHECKS},
}


_OF_ONE_RELEASE: Final = ("functions", "relations", "triggers")
"""Checks that compare a database with the text of this release."""

CHECKS: Final = ("schema", *_PLAIN, "invariants")
"""All that are made, in this order."""


async def examine(session: Session, *, deep: bool = False) -> Report:
    """Examine a database; changes nothing.

    Args:
        session: Autocommit. Temporary tables are made on it, and are gone in the end.
        deep: Compare every workflow with the invariants, not only a choice of about 50,000 steps; reads everything.

    Returns:
        Also what could not be checked. On a schema of another release only that is reported.

    Raises:
        psycopg.OperationalError: The connection was lost.
    """
    findings: list[Finding] = []
    broken: list[Broken] = []
    status = await schema.status(session.conn, session.queries.names)
    checks: dict[str, Check] = {}
    if mismatch := _mismatch(status, session.queries.names.prefix):
        findings.append(mismatch)
    else:
        checks = {**_PLAIN, "invariants": check_all if deep else check_sample}
    if status.is_newer and not status.is_too_new:
        findings.append(_newer(status))
        checks = {name: check for name, check in checks.items() if name not in _OF_ONE_RELEASE}
    for name, check in checks.items():
        try:
            findings += (await _make(session, check, "0" if deep else QUICK))[: None if name == "oban" else MOST]
        except psycopg.Error as error:
            if session.conn.broken or session.conn.closed:
                raise
            broken.append(Broken(check=name, error=first_line(error)))
        except Exception as error:
            logger.exception("the check %s failed", name)
            broken.append(Broken(check=name, error=f"{type(error).__name__}: {format_error(error)}"))
    return _report(("schema", *checks), findings, broken)


async def _make(session: Session, check: Check, limit: str) -> list[Finding]:
    if check in {check_all, check_sample}:
        # These open transactions of their own, a snapshot each.
        if is_pooled(session.conn):
            return await check(session)
        await session.one("doctor_session_limit", {"limit": limit})
        try:
            return await check(session)
        finally:
            if not session.conn.closed:
                await session.conn.execute(b"SET statement_timeout = '60s'")
    async with session.transaction():
        await session.one("doctor_limit", {"limit": limit})
        return await check(session)


def _mismatch(status: SchemaStatus, prefix: str) -> Finding | None:
    if status.strangers:
        return _schema_finding(
            f"migrations {', '.join(status.strangers)}: a state that this release does not know",
            f"those of version {status.expected}; it cannot be upgraded",
            "let its workflows end with the version that made it, then powertools uninstall and powertools install",
        )
    if not status.oban_installed:
        return _schema_finding(f"no Oban tables in schema {prefix}", "those of oban 0.7", "powertools install")
    if status.others:
        return _schema_finding(
            f"schema {', '.join(status.others)} moves the same jobs: each takes the other's results",
            "one schema of Powertools on a table of jobs",
            "powertools uninstall, for one of them",
        )
    if status.found == status.expected or (status.is_newer and not status.is_too_new):
        return None
    todo = "powertools install" if status.found == 0 else "powertools upgrade"
    if status.is_too_new:
        todo = f"install a newer oban-powertools, for version {status.compatible_from} at least"
    return _schema_finding(f"version {status.found}", f"version {status.expected}", todo)


def _newer(status: SchemaStatus) -> Finding:
    return Finding(
        check="schema",
        level=Level.NOTE,
        subject="the schema",
        found=f"version {status.found}, of a newer release",
        expected=f"version {status.expected}; this release works on it",
        todo="the newer release's doctor compares tables, functions and triggers",
    )


def _schema_finding(found: str, expected: str, todo: str) -> Finding:
    return Finding(check="schema", level=Level.ERROR, subject="the schema", found=found, expected=expected, todo=todo)


def _report(checks: tuple[str, ...], findings: list[Finding], broken: list[Broken]) -> Report:
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.level))
    return Report(
        checks=checks,
        findings=tuple(f for f in ordered if f.level is not Level.NOTE),
        notes=tuple(f for f in ordered if f.level is Level.NOTE),
        broken=tuple(broken),
    )
