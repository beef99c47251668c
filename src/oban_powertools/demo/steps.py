"""The steps of the census: Oban workers, and the workflow that ties them together. Start reading here.

The rule that must never break: every step may run twice, because a killed worker's steps do.
"""

import asyncio
import platform
import sys
from pathlib import Path
from typing import Any, Final

from oban import Job

from .. import Workflow, current_step
from . import census
from .census import ModuleCount, PackageCount
from .findings import LeftOut, put_together
from .report import write_report
from .typed import job, worker

NAME: Final = "census of the standard library"
QUEUE: Final = "census"
WITHOUT_SOURCE: Final = "sys"
"""A module in C, listed on purpose: counting it fails for good."""
FLAKY: Final = "interpreter"
"""The step that fails twice on purpose."""
HANDLER: Final = f"leave out {WITHOUT_SOURCE}"
"""The step behind the continue edge."""


@job(queue=QUEUE, max_attempts=3, priority=1)
async def count_module(module: str) -> ModuleCount:
    """Parse and count one module, in a thread, so that the worker stays responsive; other steps go first."""
    return await asyncio.to_thread(census.count_module, module)


@job(queue=QUEUE, max_attempts=1)
def count_without_source(module: str) -> ModuleCount:
    """As ``count_module``, for a module that is known to have no source: trying again would not help."""
    return census.count_module(module)


@job(queue=QUEUE, max_attempts=3)
def leave_out(module: str, error: dict[str, Any]) -> LeftOut:
    """The continue step: note why a module is not in the census."""
    return LeftOut(module=module, reason=f"{error['class']}: {error['text']}")


@worker(queue=QUEUE, max_attempts=5)
class DescribeInterpreter:
    """Which Python this is; the first two attempts fail, and the third is a second later each time."""

    async def process(self, job: Job) -> dict[str, str]:
        """Fail twice (a kill is not counted, it leaves no error), then answer."""
        if (failures := len(job.errors)) < 2:
            raise ConnectionError(f"failure {failures + 1} of 2, on purpose")
        return {"python": platform.python_version(), "implementation": platform.python_implementation()}

    def backoff(self, job: Job) -> int:  # noqa: ARG002
        """One second, however often it failed."""
        return 1


@job(queue=QUEUE, max_attempts=3)
def combine_package(package: str, modules: list[ModuleCount]) -> PackageCount:
    """The sums of one package."""
    return census.combine(package, modules)


@job(queue=QUEUE, max_attempts=3)
def report(folder: str, interpreter: dict[str, str], packages: list[PackageCount], left_out: LeftOut) -> dict[str, Any]:
    """Write the report; its totals and files are the result."""
    python = f"{interpreter['implementation']} {interpreter['python']}"
    return write_report(put_together(python, packages, [left_out], current_step().workflow_id), Path(folder))


def build(folder: Path) -> Workflow:
    """The whole workflow: modules, then packages, then the report.

    Args:
        folder: Where the report goes; absolute.

    Raises:
        LookupError: This Python came without the source of its library.
    """
    modules = census.list_modules()
    if not modules:
        raise LookupError(f"{sys.executable} came without the Python source of its standard library")
    workflow = Workflow(NAME, context={"python": platform.python_version()}, tags=["demo"])
    interpreter = workflow.add(FLAKY, DescribeInterpreter.new({}), effects="repeatable")
    without_source = workflow.add(WITHOUT_SOURCE, count_without_source.new(WITHOUT_SOURCE), effects="repeatable")
    left_out = workflow.add(
        HANDLER,
        leave_out.new(WITHOUT_SOURCE, error=without_source.error),
        deps={WITHOUT_SOURCE: "continue"},
        effects="repeatable",
    )
    by_package: dict[str, list[Any]] = {}
    for name in modules:
        step = workflow.add(name, count_module.new(name), effects="repeatable")
        by_package.setdefault(census.package_of(name), []).append(step.result)
    packages = [
        workflow.add(f"package {name}", combine_package.new(name, modules=results), effects="repeatable")
        for name, results in by_package.items()
    ]
    workflow.add(
        "report",
        report.new(
            str(folder),
            interpreter=interpreter.result,
            packages=[package.result for package in packages],
            left_out=left_out.result,
        ),
        effects="repeatable",
    )
    return workflow
