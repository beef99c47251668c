"""Every check that is one query: what it expects, and what to do when it finds something else."""

from dataclasses import dataclass
from typing import Final

from ...database import Session, record
from .finding import Finding, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck:
    """A check whose query ``doctor_check_<name>`` has one row a finding; its own ``todo`` or ``level`` knows more."""

    name: str
    """Of the check."""

    level: Level
    """Of its findings."""

    expected: str
    """What should be."""

    todo: str
    """What to do."""

    async def __call__(self, session: Session) -> list[Finding]:
        """Make it."""
        args = {"schema": session.queries.names.schema, "prefix": session.queries.names.prefix}
        return [
            record(Finding, {"todo": self.todo, "level": self.level, **row}, check=self.name, expected=self.expected)
            for row in await session.all(f"doctor_check_{self.name}", args)
        ]


ROW_CHECKS: Final = (
    RowCheck(
        name="settle_faults",
        level=Level.ERROR,
        expected="every outcome of a job is settled",
        todo="read the message and remove the cause; the sweep tries again once a minute at least",
    ),
    RowCheck(
        name="sweep",
        level=Level.ERROR,
        expected="every part succeeds within a minute, retention within an hour: deadlines and rescue depend on it",
        todo=(
            "powertools executors list says whether a process lives, and whether its event loop is blocked: start one "
            "where none lives; else read its log and look for an old transaction"
        ),
    ),
    RowCheck(
        name="retention",
        level=Level.WARNING,
        expected="the last run removed what was due",
        todo="read the error, remove its cause, and run: powertools retention prune",
    ),
    RowCheck(
        name="audit",
        level=Level.WARNING,
        expected="every row of the audit sealed within seconds",
        todo="start a process with Powertools: its sweep seals; when one runs, read its log",
    ),
    RowCheck(
        name="settings",
        level=Level.WARNING,
        expected="every process started with the database's values (spans in seconds) or none: the database decides",
        todo="start the process with the same, or: powertools settings set NAME VALUE --reason WHY",
    ),
    RowCheck(
        name="semantics",
        level=Level.ERROR,
        expected="semantics version 2",
        todo="install the release of oban-powertools that wrote it; this one will not change it",
    ),
    RowCheck(
        name="rejected_jobs",
        level=Level.ERROR,
        expected="jobs that Oban can read: a single other one keeps all jobs of its queue from being fetched (oban/O3)",
        todo="correct the row: UPDATE oban_jobs SET priority = 9, ...; or set its state to 'cancelled'",
    ),
    RowCheck(
        name="exhausted_jobs",
        level=Level.WARNING,
        expected="an attempt left for every available job: others fill the fetches of the queue (oban/O20)",
        todo="raise their max_attempts above attempt, or discard them",
    ),
    RowCheck(
        name="event_log",
        level=Level.WARNING,
        expected="events have their place within a second",
        todo="start a process with Powertools: its sweep places them; when one runs, read its log",
    ),
    RowCheck(
        name="queues",
        level=Level.WARNING,
        expected="some process works on every queue that has jobs",
        todo="start one for each",
    ),
    RowCheck(
        name="outcomes_aside",
        level=Level.WARNING,
        expected="outcomes stored within a minute: until then their jobs stay executing, and workflows wait",
        todo="read the executor's log, which says what refuses them, and remove that: a lock, a trigger, a full disk",
    ),
    RowCheck(
        name="unlogged",
        level=Level.WARNING,
        expected="one row for every queue that a process works on",
        todo="the server crashed or was restored: restart the processes, so that Oban registers its producers again",
    ),
    RowCheck(
        name="leader",
        level=Level.NOTE,
        expected="a lease of 30 s, one leader; Oban 0.7 cannot do better (oban/O1)",
        todo="if you have cron jobs: make them unique, or run cron on one node only",
    ),
    RowCheck(
        name="roles",
        level=Level.WARNING,
        expected="only roles that have a task here: any that connects can stop queues by NOTIFY (oban/O4, O5)",
        todo="REVOKE CONNECT ON DATABASE ... FROM PUBLIC, and GRANT it to the roles that need it",
    ),
    RowCheck(
        name="connections",
        level=Level.WARNING,
        expected="a fifth of the connections free",
        todo="use smaller pools, a pooler, or raise max_connections",
    ),
    RowCheck(
        name="transactions",
        level=Level.WARNING,
        expected="no transaction that is open for 10 minutes: it keeps vacuum from cleaning up",
        todo="end it: commit, ROLLBACK PREPARED, or pg_terminate_backend",
    ),
    RowCheck(
        name="locks",
        level=Level.WARNING,
        expected="locks that last for less than a minute: whatever needs the same row or key waits for its end",
        todo="end its transaction, or the session: SELECT pg_terminate_backend(NUMBER OF THE SESSION)",
    ),
    RowCheck(
        name="encoding",
        level=Level.ERROR,
        expected="UTF8: any other cannot hold every text that a worker may return or fail with",
        todo="move to a database with ENCODING 'UTF8'; ALTER DATABASE ... or ALTER ROLE ... RESET client_encoding",
    ),
    RowCheck(
        name="replication_role",
        level=Level.ERROR,
        expected="session_replication_role = origin: no trigger fires with replica, so only the sweep moves workflows",
        todo="ALTER ROLE ... or ALTER DATABASE ... RESET session_replication_role, and connect again",
    ),
    RowCheck(
        name="notifications",
        level=Level.WARNING,
        expected="nearly none: once it is full, a commit that notifies fails; Powertools stops notifying at 90 percent",
        todo="pg_terminate_backend for the session that listens with a transaction open; the server's log names it",
    ),
    RowCheck(
        name="durability",
        level=Level.WARNING,
        expected="on",
        todo="switch it on, unless this database may be lost",
    ),
    RowCheck(
        name="vacuum",
        level=Level.WARNING,
        expected="autovacuum at work: the job table grows and slows without",
        todo="switch it on: autovacuum = on, track_counts = on, ALTER TABLE ... RESET (autovacuum_enabled)",
    ),
)
"""In the order in which they are made."""
