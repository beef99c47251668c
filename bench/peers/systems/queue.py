"""Queues of jobs that know no workflows: as many jobs as there are steps, at once, without any dependencies.

For W4 a job enqueues the next one of its chain before it returns, which no workflow engine may do: killed in between,
it runs again and its successor twice.
"""

from bench.peers.work import Peer, Work


class JobQueue(Peer):
    """What the queues have in common."""

    has_workflows = False
    ended_after: int = 0
    """The last id before what was submitted last."""

    def numbers(self, work: Work) -> list[int]:
        """One for each job."""
        return [number for _ in range(work.count) for number in work.numbers]
