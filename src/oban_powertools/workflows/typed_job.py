"""A job that says what type its worker returns, for a type checker and for the step that runs it."""

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from oban import Job

from ..annotations import ANYTHING, Codec

_CODEC: Final = "powertools_result"
"""The key of a job's ``extra``, which is never stored."""


class TypedJob[Result](Job):
    """An Oban job whose worker returns ``Result``; made by ``new`` of the workers of ``job`` and ``worker``."""

    __slots__ = ()  # so that a job can become one


class MakesJobs[Result](Protocol):
    """A worker whose jobs are known to return ``Result``, whatever its args."""

    @property
    def new(self) -> Callable[..., TypedJob[Result]]:
        """Makes a job."""
        ...


def typed(job: Job, codec: Codec) -> TypedJob[Any]:
    """The same job, which knows the codec of its result from now on."""
    job.__class__ = TypedJob
    job.extra[_CODEC] = codec
    return cast("TypedJob[Any]", job)


def result_codec(job: Job) -> Codec:
    """The codec of the job's result; that of anything for a job of one of Oban's own workers."""
    return job.extra.get(_CODEC, ANYTHING)
