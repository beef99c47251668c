"""The steps of the census: Oban workers, and the workflow that connects them. Start reading here.

Every step may run twice, because the steps of a killed worker do.
"""

import asyncio
import functools
import platform
import sys
from pathlib import Path
from typing import Any, Final, cast

from oban import Job, decorators

from .. import Workflow
from ..cli.exits import Exit, StoppedError
from . import census
from .census import Count

# Oban's own, which carry no types.
job: Any = cast("Any", decorators).job
worker: Any = cast("Any", decorators).worker
NAME: Final = "census of the standard library"
QUEUE: Final = "census"
WITHOUT_SOURCE: Final = "sys"
"""A module in C, listed on purpose: counting it fails for good."""
FLAKY: Final = "interpreter"
"""The step that fails twice on purpose."""
HANDLER: Final = f"leave out {WITHOUT_SOURCE}"
"""The step behind the continue edge."""


READERS: Final = "Ada Barbara Edsger Frances Grace Hedy Jean Katherine Margaret Mary Niklaus Radia".split()
"""Who is to get the report, which fails for all of them: enough for an incident."""


@job(queue=QUEUE, max_attempts=3, priority=1)
async def count_module(module: str) -> Count:
    """Parse and count one module, in a thread, so that the worker stays responsive; other steps go first."""
    return await asyncio.to_thread(census.count_module, module)


@job(queue=QUEUE, max_attempts=1)
def mail(reader: str, file: str, server: str) -> str:
    """Send the report to one reader; fails while the mail server, which is a file here, is away."""
    if not Path(server).exists():
        raise ConnectionError("the mail server is down")
    return f"{file} was sent to {reader}"


@job(queue=QUEUE, max_attempts=3)
def note_delivery(readers: list[str]) -> str:
    """The end of the delivery, which waits for every reader."""
    return f"delivered to {len(readers)} readers"


@job(queue=QUEUE, max_attempts=3)
def leave_out(module: str, error: dict[str, Any]) -> list[str]:
    """The continue step: note why a module is not in the census."""
    return [module, f"{error['class']}: {error['text']}"]


@worker(queue=QUEUE, max_attempts=5)
class DescribeInterpreter:
    """Which Python this is; the first two attempts fail, and the third is a second later each time."""

    async def process(self, job: Job) -> str:
        """Fail twice (a kill is not counted, it leaves no error), then answer."""
        if (failures := len(job.errors)) < 2:
            raise ConnectionError(f"failure {failures + 1} of 2, on purpose")
        return f"{platform.python_implementation()} {platform.python_version()}"

    def backoff(self, job: Job) -> int:  # noqa: ARG002
        """One second, however often it failed."""
        return 1


@job(queue=QUEUE, max_attempts=3)
def combine_package(package: str, modules: list[Count]) -> Count:
    """The sums of one package."""
    return census.combine(package, modules)


@job(queue=QUEUE, max_attempts=3)
def report(folder: str, python: str, packages: list[Count], left_out: list[str]) -> dict[str, str]:
    """Write the report; where it is and what was found are the result."""
    total = census.combine(python, packages)
    file = census.write_report(Path(folder), total, packages, left_out)
    return {"file": str(file), "found": census.describe(total)}


def build(folder: Path) -> Workflow:
    """The whole workflow: modules, then packages, then the report.

    Args:
        folder: Where the report goes; absolute.

    Raises:
        StoppedError: This Python came without the source of its library.
    """
    modules = census.list_modules()
    if not modules:
        raise StoppedError(f"{sys.executable} came without the source of its standard library", Exit.FAILED)
    workflow = Workflow(NAME, context={"python": platform.python_version()}, tags=["demo"])
    add = functools.partial(workflow.add, effects="repeatable")
    python = add(FLAKY, DescribeInterpreter.new({}))
    hopeless = count_module.new(WITHOUT_SOURCE)
    hopeless.max_attempts = 1
    failing = add(WITHOUT_SOURCE, hopeless)
    note = leave_out.new(WITHOUT_SOURCE, error=failing.error)
    left_out = add(HANDLER, note, deps={WITHOUT_SOURCE: "continue"})
    by_package: dict[str, list[Any]] = {}
    for name in modules:
        step = add(name, count_module.new(name))
        by_package.setdefault(census.package_of(name), []).append(step.result)
    packages = [
        add(f"package {name}", combine_package.new(name, modules=counts)).result for name, counts in by_package.items()
    ]
    add("report", report.new(str(folder), python=python.result, packages=packages, left_out=left_out.result))
    return workflow


def delivery(file: Path, server: Path) -> Workflow:
    """A mail for each reader, then a note of it. It fails while ``server`` does not exist."""
    workflow = Workflow("delivery of the census", context={"report": file.name}, tags=["demo"])
    add = functools.partial(workflow.add, effects="repeatable")
    mails = [add(f"mail {reader}", mail.new(reader, file=str(file), server=str(server))).result for reader in READERS]
    add("note", note_delivery.new(mails))
    return workflow
