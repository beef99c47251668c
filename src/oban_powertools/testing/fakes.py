"""Fakes: what a step gives instead of running its worker. No I/O."""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from oban import Job
from oban.worker import WorkerResolutionError, worker_name

from ..workflows.job_identity import identity_of

type Fakes = Mapping[str | type, Any]
"""The name of a step, or a worker, -> its outcome: a value, an exception, a function of the step's args, or a list of
those, one for each attempt."""

_ITEM: Final = re.compile(r"(.+)\[[0-9]+\]", re.DOTALL)
"""The name of a map's item."""


class WrongFakeError(AssertionError):
    """A fake does not fit the workflow: no step has its name, or it has too few outcomes."""


class Faked:
    """The fakes of one run.

    Args:
        fakes: As the test gave them.
    """

    def __init__(self, fakes: Fakes | None) -> None:
        self._of_steps = {name: fake for name, fake in (fakes or {}).items() if isinstance(name, str)}
        self._of_workers = {worker_name(kind): fake for kind, fake in (fakes or {}).items() if isinstance(kind, type)}
        self._taken: dict[str, int] = {}
        self.wrong: WrongFakeError | None = None

    def check_names(self, kinds: Mapping[str, str]) -> None:
        """Refuse fakes of steps that there are not, or that run no job.

        Args:
            kinds: The name of each step -> what it runs on.

        Raises:
            WrongFakeError: A fake would never be used.
        """
        for name in self._of_steps:
            if name not in kinds:
                close = difflib.get_close_matches(name, kinds, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(kinds)) or 'none'}"
                raise WrongFakeError(f"fakes names {name!r}, and no step of the workflow has that name; {hint}")
            if kinds[name] == "signal":
                raise WrongFakeError(f"fakes names {name!r}, which waits for a signal: give its payload in signals=")
            if kinds[name] == "workflow":
                raise WrongFakeError(f"fakes names {name!r}, which runs a workflow: give fakes of that one's steps")

    def find_worker(self, job: Job, find: Callable[[], type]) -> type:
        """The class that runs a job: its own; or one that gives the fake's outcome, with its backoff and timeout."""
        name, fake = self._find(job)
        if name is None:
            return find()
        try:
            real = find()
        except WorkerResolutionError:
            real = object
        faked = self

        async def process(_: Any, job: Job) -> Any:
            return await faked._outcome(name, fake, job)

        return type(f"Fake of {real.__name__}", (real,), {"process": process})

    def _find(self, job: Job) -> tuple[str | None, Any]:
        step = str(identity_of(job).get("step", ""))
        item = _ITEM.fullmatch(step)
        for name in (step, item[1] if item else step):
            if name in self._of_steps:
                return name, self._of_steps[name]
        if job.worker in self._of_workers:
            return job.worker, self._of_workers[job.worker]
        return None, None

    async def _outcome(self, name: str, fake: Any, job: Job) -> Any:
        if isinstance(fake, list):
            fake = self._next(name, cast("list[Any]", fake))
        if _is_exception(fake):
            raise fake
        if not callable(fake):
            return fake
        outcome = fake(**job.args)
        return await outcome if inspect.isawaitable(outcome) else outcome

    def _next(self, name: str, outcomes: list[Any]) -> Any:
        taken = self._taken[name] = self._taken.get(name, 0) + 1
        if taken > len(outcomes):
            self.wrong = WrongFakeError(
                f"the fake of {name!r} has {len(outcomes)} outcomes, and its worker ran {taken} times: a list has one "
                "outcome an attempt, so give one more, or [[...]] where the result itself is a list"
            )
            raise self.wrong
        return outcomes[taken - 1]


def _is_exception(fake: Any) -> bool:
    return isinstance(fake, BaseException) or (isinstance(fake, type) and issubclass(fake, BaseException))
