"""The one registry of classes of incidents: what can be broken, each one row.

A row names the functions of ``sql/functions`` that look for it; an upgrade brings the rows into the database. From a
row come what is projected, what explanations show of it and what they suggest, metrics, the command line's choices and
the pages of reference. No I/O.

A new class touches: its row here; its query in ``functions/incident_classes.sql`` (those of what is slow are in
``incidents_slow.sql``, of what nobody takes in ``incidents_untaken.sql``); its row in docs/reference/incidents.md; and
only where it needs one, a function in ``functions/incidents_hold.sql`` or ``functions/incidents_concern.sql``.

The rule that must never break: a class has one row, and nothing else in the package tells one class from another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from .acts import Action

__all__ = ["Choices", "IncidentClass", "IncidentRow"]

type Choices = tuple[tuple[Action, ...], ...]
"""What can end an incident: the first choices whose first one is legal, of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """The row of a class."""

    found_by: str
    """Finds what is wrong now: ``(whole bool) -> SETOF powertools.detected``; several classes may share one."""

    over_because: str
    """What its timeline says when it is over."""

    advice: str
    """What somebody on call looks at first: a sentence or two."""

    means: str = ""
    """What is concluded from what was seen."""

    unknown: str = ""
    """What nobody can read from the database."""

    unattended: str = ""
    """What happens if nobody acts."""

    helps: tuple[str, ...] = ()
    """Commands of a shell that end it where no repair can, with ``{names}`` of its evidence; where that has one of them
    not, the command is no help."""

    holds_by: str | None = None
    """Whether an open one still holds that was not found: ``(powertools.incidents) -> bool``. None: it is over then."""

    concerns_by: str = "evidence_concerns"
    """The fingerprints that concern a step, its workflow and its job: ``(steps, workflows, oban_jobs) -> SETOF text``.
    Without one of its own, those whose evidence names them, which is 50 ids at most."""

    ended_by: Choices = ()
    """What can end it; empty where it passes when its cause does."""

    kinds_ended_by: Mapping[str, Choices] = field(default_factory=dict[str, Choices])
    """The same, where its kinds differ: what follows the class in the fingerprint, every one -> what can end it."""

    may_recur: bool = False
    """Whether a repair may fail again for the same reason, while it is open."""


_START_A_WORKER: Final = ("powertools start --queues {producer_scope}:10",)
_ON_A_QUEUE: Final = ((Action.QUEUE_RESUME,), (Action.QUEUE_SCALE,))
_BY_HAND: Final = (Action.STEP_COMPLETE, Action.STEP_SKIP)
_BY_HAND_OR_DISCARDED: Final = (*_BY_HAND, Action.JOB_DISCARD)


class IncidentClass(StrEnum):
    """What kind of cause it has, with its ``row``."""

    row: IncidentRow

    def __new__(cls, name: str, row: IncidentRow) -> Self:
        """One entry is the name and the row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.row = row
        return member

    EXECUTOR_LATE = (
        "executor_late",
        IncidentRow(
            found_by="detect_executors",
            advice=(
                "Its event loop is blocked by a worker that computes or waits without await: the stack shows "
                "where. End its process; its jobs run elsewhere."
            ),
            helps=("kill -KILL {pid}  # on {node}",),
            holds_by="executor_late_holds",
            concerns_by="executor_concerns",
            over_because="it sends heartbeats in time, has stopped, was replaced or removed, or is missing by now",
            means="Its event loop is blocked, or its process is paused or cut off. Its jobs may still run.",
            unknown="Whether it comes back: most that are late do.",
            unattended=(
                "Its jobs wait with it. If it stays silent it is missing, and its jobs are rescued when it is "
                "known to be gone."
            ),
        ),
    )
    EXECUTOR_MISSING = (
        "executor_missing",
        IncidentRow(
            found_by="detect_executors",
            advice="Nothing is lost, but a process is. Start one that works on its queue.",
            helps=_START_A_WORKER,
            concerns_by="executor_concerns",
            over_because="it sends heartbeats again, has stopped, was replaced or removed, or was missing for a day",
            means="Its process has ended, or cannot reach the database. What it had in hand was rescued.",
            unknown="Why it ended: its own logs say.",
            unattended=(
                "Nothing is lost. Its queue runs on in other processes, if there are any; after a day this is "
                "over by itself."
            ),
        ),
    )
    DEAD_EXECUTOR = (
        "dead_executor",
        IncidentRow(
            found_by="detect_executors",
            advice="Its jobs wait: for a living process where rescue is automatic, else for you. Rescue them.",
            concerns_by="executor_concerns",
            over_because="it has no job in hand any more",
            ended_by=((Action.JOB_RESCUE, Action.EXECUTOR_RESCUE_ALL), _BY_HAND_OR_DISCARDED),
            means="Its process is gone: nobody works on these jobs.",
            unknown="Whether they had their effects before it ended: the systems that they call know.",
            unattended=(
                "They stay executing, and what depends on them waits, unless a living process takes them. Nothing "
                "is lost."
            ),
        ),
    )
    ORPHANED_JOBS = (
        "orphaned_jobs",
        IncidentRow(
            found_by="detect_orphans",
            advice=(
                "Nobody knows who runs these jobs: an Oban without Powertools, or a process that is long "
                "gone. Rescue them when it is."
            ),
            holds_by="orphaned_jobs_holds",
            concerns_by="orphaned_jobs_concerns",
            over_because="none of the jobs is executing any more, or their executor is known",
            ended_by=((Action.JOB_RESCUE, Action.JOB_DISCARD), _BY_HAND_OR_DISCARDED),
            means="They were taken by an Oban without Powertools, or by a process that is long gone.",
            unknown="Whether anybody still runs them: nobody reports for them.",
            unattended="They stay executing. Where rescue is automatic, each runs again when it is old enough.",
        ),
    )
    WORKFLOW_STUCK = (
        "workflow_stuck",
        IncidentRow(
            found_by="detect_stuck",
            advice=(
                "Does any process work on the queue? Start one. A workflow that cannot move needs powertools doctor."
            ),
            helps=("powertools start --queues {queue}:10",),
            concerns_by="workflow_stuck_concerns",
            over_because="it can move again",
            ended_by=((Action.WORKFLOW_CANCEL,),),
            means="Nothing that runs now can move it.",
            unknown="Whether a process that can is about to start, as during a deploy.",
            unattended="It waits for as long as it takes. Nothing is lost.",
        ),
    )
    WAIT_OVERDUE = (
        "wait_overdue",
        IncidentRow(
            found_by="detect_overdue_waits",
            advice=(
                "The sweep does not end waits: does a process sweep, and which error did it get? powertools "
                "doctor says."
            ),
            holds_by="wait_overdue_holds",
            concerns_by="wait_overdue_concerns",
            over_because="the waits have ended",
            ended_by=((*_BY_HAND, Action.STEP_CANCEL),),
            means="No process that sweeps ends these waits.",
            unknown="Why: the error is in the logs of the processes that sweep.",
            unattended="The steps wait on, past their deadline, until a sweep succeeds.",
        ),
    )
    WEBHOOK_UNSERVED = (
        "webhook_unserved",
        IncidentRow(
            found_by="detect_unserved_webhooks",
            advice=(
                "Nobody is told of anything until a process works on the queue of the deliveries. Start one, or "
                "resume it."
            ),
            helps=("powertools start --queues {queue}:10",),
            over_because="somebody works on its deliveries, there is none left, or it was disabled or removed",
            ended_by=_ON_A_QUEUE,
            means="No process works on the queue of its deliveries, or the queue is paused.",
            unknown="What its receiver misses meanwhile.",
            unattended="The deliveries wait, and are late.",
        ),
    )
    UNCLAIMED_SIGNAL = (
        "unclaimed_signal",
        IncidentRow(
            found_by="detect_unclaimed_signals",
            advice="Was a name or a key misspelt? Redirect it to the wait that was meant, or discard it.",
            holds_by="unclaimed_signal_holds",
            over_because="each was taken or has expired, or a day has passed",
            ended_by=((Action.SIGNAL_REDIRECT, Action.SIGNAL_DISCARD), (Action.SIGNAL_DISCARD,)),
            means="No wait has this name and key: one of them is misspelt, or the wait has not begun.",
            unknown="Which wait the sender meant.",
            unattended=(
                "A wait that fits takes it when it begins. This is over by itself after a day; the signal stays "
                "until it expires."
            ),
        ),
    )
    POISON_JOB = (
        "poison_job",
        IncidentRow(
            found_by="detect_poison",
            advice="What kills its process: memory, a native library. Retry it when that is mended, or give it up.",
            holds_by="poison_job_holds",
            over_because="the job is not quarantined any more",
            ended_by=((Action.JOB_RETRY, Action.JOB_DISCARD),),
            may_recur=True,
            means="The job ends the processes that run it: by its memory, or in a native library.",
            unknown="How: a process that is killed cannot say.",
            unattended="It stays suspended and ends nothing more; what depends on it waits.",
        ),
    )
    FAILING_JOBS = (
        "failing_jobs",
        IncidentRow(
            found_by="detect_failing_jobs",
            advice="The error: explain one of the jobs. When its cause is gone, retry them all at once.",
            concerns_by="failing_jobs_concerns",
            over_because="no job has failed like this for the whole window",
            ended_by=((Action.STEP_RETRY, Action.STEP_SKIP), (Action.JOB_RETRY,), _BY_HAND),
            may_recur=True,
            means="They fail for one reason: a service that they call, their data, or a new release.",
            unknown="Whether the reason is gone: only the next attempt shows.",
            unattended=(
                "Those with attempts left are tried again. Discarded ones stay so, and what was cancelled because "
                "of them."
            ),
        ),
    )
    HUNG_JOBS = (
        "hung_jobs",
        IncidentRow(
            found_by="detect_hung_jobs",
            advice=(
                "The stack shows what it waits for. Cancel it: what it awaits is cancelled then. What "
                "computes without await ends only with its process."
            ),
            holds_by="hung_jobs_holds",
            concerns_by="hung_jobs_concerns",
            over_because="each of these attempts has ended, or its executor is gone",
            ended_by=((Action.STEP_CANCEL, Action.STEP_COMPLETE), (Action.STEP_COMPLETE,), (Action.JOB_CANCEL,)),
            means="They wait for something that does not come, or compute without an end.",
            unknown="Whether they would still end, and which effects they have had.",
            unattended="They run on and keep their places in the queue, until their worker's timeout if it has one.",
        ),
    )
    QUEUE_LATE = (
        "queue_late",
        IncidentRow(
            found_by="detect_late_queues",
            advice=(
                "The title says why. Paused: resume it. All places taken: by what? Give it more places or processes. "
                "Else: do its processes fetch? Their logs say."
            ),
            concerns_by="queue_late_concerns",
            over_because="its oldest due job has not waited for so long, or nobody works on the queue any more",
            ended_by=_ON_A_QUEUE,
            means="The queue is paused, has too few places, or something keeps them.",
            unknown="Whether it catches up: that depends on what comes in.",
            unattended="Its jobs start late. None is lost.",
        ),
    )
    WORKER_NOT_IMPORTABLE = (
        "worker_not_importable",
        IncidentRow(
            found_by="detect_not_importable",
            advice=(
                "The nodes that it names lack the module: deploy it there, or take them off the queue. The "
                "jobs go on by themselves, or at once when they are retried."
            ),
            holds_by="worker_not_importable_holds",
            concerns_by="worker_not_importable_concerns",
            over_because="none of the jobs waits for it any more",
            ended_by=((Action.JOB_RETRY, Action.JOB_DISCARD),),
            means="The code on these nodes lacks the worker: a deploy is under way, or it was renamed or removed.",
            unknown="Whether the next deploy brings it.",
            unattended="The jobs are tried again until it can be imported. Their attempts are not used up.",
        ),
    )
    LATE_RESULT = (
        "late_result",
        IncidentRow(
            found_by="detect_late_results",
            advice="Did the work happen twice? Adopt the result, or dismiss it.",
            holds_by="late_result_holds",
            concerns_by="late_result_concerns",
            over_because="each was adopted or dismissed, or the job has a result of its own",
            ended_by=((Action.LATE_RESULT_ADOPT, Action.LATE_RESULT_DISMISS), (Action.LATE_RESULT_DISMISS,)),
            means="An attempt was cut off, not dead: it succeeded after its job had been taken from it.",
            unknown="Whether the work was done twice.",
            unattended="The results stay aside, and their steps go on without them.",
        ),
    )
    OUTSIDE_EDIT = (
        "outside_edit",
        IncidentRow(
            found_by="detect_outside_edits",
            advice="Who used another tool on the jobs of steps? What was cancelled by that can be retried.",
            concerns_by="outside_edit_concerns",
            over_because="it was undone, or happened a day ago",
            kinds_ended_by={
                "job_deleted": ((Action.STEP_RETRY,), _BY_HAND),
                "job_suspended": ((Action.JOB_RETRY,),),
                "job_retried": (),
                "job_restarted": (),
                "meta_changed": (),
            },
            means="Somebody changed jobs of steps with another tool, such as SQL or Oban Web.",
            unknown="Who, and why: other tools leave no record here.",
            unattended="What they changed stays so. Unless jobs are suspended, this is over by itself after a day.",
        ),
    )
    BOOKKEEPING_FAULT = (
        "bookkeeping_fault",
        IncidentRow(
            found_by="detect_settle_faults",
            advice=(
                "Which error did the sweep get from the database? powertools doctor says; the sweep tries "
                "again by itself."
            ),
            holds_by="bookkeeping_fault_holds",
            concerns_by="bookkeeping_fault_concerns",
            over_because="every job was settled",
            may_recur=True,
            means="The database refuses to settle these jobs.",
            unknown="Whether that passes: the error is the database's own.",
            unattended="The sweep tries again by itself. Until it succeeds, the steps do not move on. Nothing is lost.",
        ),
    )
    CALLBACK_FAILED = (
        "callback_failed",
        IncidentRow(
            found_by="detect_failed_callbacks",
            advice="The error: explain one of the jobs. When its cause is gone, retry the callback.",
            holds_by="callback_failed_holds",
            concerns_by="callback_failed_concerns",
            over_because="none of the callbacks is discarded any more",
            ended_by=((Action.CALLBACK_RETRY,),),
            may_recur=True,
            means="The workflow has ended as it should; what was to follow has not happened.",
            unknown="How much of it was done before it failed.",
            unattended="It stays discarded: nothing calls it again by itself.",
        ),
    )


def find_row(name: str) -> IncidentRow | None:
    """The row of a class by its name; None of one that a newer release brought, of which only the name is known."""
    return IncidentClass(name).row if name in IncidentClass else None
