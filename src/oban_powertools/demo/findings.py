"""What the census found, put together for the report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .census import SHOWN, Counts, PackageCount, Sized, add_up, largest_of


class LeftOut(TypedDict):
    """A module that could not be counted."""

    module: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything the report shows."""

    python: str
    """As in ``CPython 3.13.0``."""

    workflow_id: int
    """The workflow that found it."""

    totals: Counts
    """Over all packages."""

    modules: int
    """Modules counted."""

    packages: Sequence[PackageCount]
    """Most lines first."""

    largest: Sequence[Sized]
    """Modules with the most lines."""

    longest: Sequence[Sized]
    """Functions with the most lines."""

    imported: Sequence[tuple[str, int]]
    """Modules imported by the most modules: name, importers."""

    left_out: Sequence[LeftOut]
    """What could not be counted."""


def put_together(
    python: str, packages: Sequence[PackageCount], left_out: Sequence[LeftOut], workflow_id: int
) -> Findings:
    """Add up the packages and find the largest of everything."""
    imported: Counter[str] = Counter()
    for package in packages:
        imported.update(package["imports"])
    return Findings(
        python=python,
        workflow_id=workflow_id,
        totals=add_up(packages),
        modules=sum(package["modules"] for package in packages),
        packages=sorted(packages, key=lambda package: package["lines"], reverse=True),
        largest=largest_of(module for package in packages for module in package["largest"]),
        longest=largest_of(function for package in packages for function in package["longest"]),
        imported=imported.most_common(SHOWN),
        left_out=left_out,
    )


def documented(counts: Counts) -> str:
    """How much of what is public has a docstring: ``57%``."""
    return f"{counts['documented'] / (counts['public'] or 1):.0%}"
