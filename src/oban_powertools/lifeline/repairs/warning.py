"""What to know before a repair is executed: of one by its plan, of many by what was judged of their targets.

Pure. The rule that must never break: a warning that one target has is not lost where it is repaired with others.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from ...acts import Act, Action
from ...database import Row
from ...plural import counted
from ...states import Effects
from .actions import rescuable
from .judging import Judged
from .plan import Plan
from .targets import Located, Repair

_MOST: Final = 10
_MOST_NAMED: Final = 3


def warn(repair: Repair, located: Located, plan: Plan) -> list[str]:
    """Warnings before this is executed; at most 10."""
    action, executing = repair.action, _executing(located.jobs)
    warnings = list(_warn_of_jobs(action.row, executing))
    if _ends_under(executing, plan) and not action.row.tells and not action.row.takes_away:
        warnings.append(
            "the job is executing: its code goes on running, is not told, and what it comes to counts no more"
        )
    warnings += _warn_of_effects(action.row, located.jobs, plan.repeated)
    left_alone = len(located.jobs) - len(rescuable(located)) if action is Action.EXECUTOR_RESCUE_ALL else 0
    if left_alone:
        warnings.append(f"{counted(left_alone, 'job')} of the executor are left: their effects must never happen twice")
    if "settle_fault" in plan.written:
        warnings.append("the bookkeeping fails on the way: see the settle faults among the changes")
    warnings += _warn_of_signal(located.signal) if action.row.aimed and located.signal else []
    if action is Action.STEP_COMPLETE and "payload" not in repair.arguments and _moves_others(plan):
        warnings.append("without a payload its result is null, and the steps after it get that")
    if not plan.total and not executing:
        warnings.append("it changes nothing, as everything is now")
    return list(dict.fromkeys(warnings))[:_MOST]


def warn_of_many(action: Action, judged: Sequence[Judged]) -> list[str]:
    """Warnings before a repair of these targets is executed; at most 10."""
    legal = [each for each in judged if each.refusal is None]
    jobs = [job for each in legal for job in each.jobs]
    warnings = [*_warn_of_jobs(action.row, _executing(jobs))]
    warnings += _warn_of_effects(action.row, jobs, sum(each.repeated for each in legal))
    refusals = [each.refusal for each in judged if each.refusal is not None]
    if refusals:
        named = "; ".join(refusals[:_MOST_NAMED])
        more = f"; and {len(refusals) - _MOST_NAMED} more" if len(refusals) > _MOST_NAMED else ""
        warnings.insert(0, f"{len(refusals)} of {counted(len(judged), 'target')} would be refused now: {named}{more}")
    return list(dict.fromkeys(warnings))[:_MOST]


def _executing(jobs: Sequence[Row]) -> list[Row]:
    return [job for job in jobs if job["state"] == "executing"]


def _warn_of_jobs(act: Act, executing: Sequence[Row]) -> Iterator[str]:
    """What is not known of jobs that are executing."""
    if act.takes_away:
        yield from map(_unsure, executing)
    if executing and act.tells:
        are = "the job is" if len(executing) == 1 else f"{len(executing)} jobs are"
        it, is_ = ("it", "is") if len(executing) == 1 else ("they", "are")
        yield f"{are} executing: {it} {is_} told to stop, and may still complete"


def _warn_of_effects(act: Act, jobs: Sequence[Row], repeated: int) -> Iterator[str]:
    """That what runs again may have had its effects; a step that is retried by its job counts once."""
    unsure = max(sum(job["effects"] == Effects.ASK for job in jobs), repeated)
    if unsure and act.runs_again:
        yield f"{counted(unsure, 'step')} may have had effects that happen again: ask whoever knows the worker"


def _moves_others(plan: Plan) -> bool:
    return sum(change.source == "step" for change in plan.changes) > 1


def _ends_under(executing: Sequence[Row], plan: Plan) -> bool:
    """Whether a step gets its outcome while its job executes."""
    ids = {job["id"] for job in executing}
    steps = ((each.before, each.after) for each in plan.changes if each.source == "step" and each.before is not None)
    return any(
        was["job_id"] in ids and was["finished_at"] is None and will["finished_at"] is not None for was, will in steps
    )


def _warn_of_signal(signal: Row) -> list[str]:
    """How a signal differs from the wait that is to take it."""
    warnings = [
        f"the signal's {word} is {signal[name]}, the wait's {signal['to_' + name]}"
        for name, word in (("signal", "name"), ("correlation_key", "key"))
        if signal[name] != signal["to_" + name]
    ]
    if signal["workflow_id"] not in (None, signal["to_workflow_id"]):
        warnings.append(f"it was sent to workflow {signal['workflow_id']}")
    if signal["expired"]:
        warnings.append("its sender wanted nobody to take it any more by now")
    return warnings


def _unsure(job: Row) -> str:
    if job["executor_id"] is None:
        return "nobody knows the executor: the job may still run"
    if job["executor_state"] == "stopped":
        return f"executor {job['executor_id']} stopped in good order"
    if job["process_ended"]:
        return f"the process of executor {job['executor_id']} was seen to have ended"
    age = job["beat_seconds"]
    return f"the last heartbeat of executor {job['executor_id']} came {age} s ago: the job may still run"
