"""The Oban worker that sends deliveries. Oban imports it by its path when the first job comes.

The rule that must never break: jobs of running systems contain this path, so it never changes.
"""

import math

from oban import Job, Snooze

from ..runtime.oban_hooks import find_attachment
from .delivering import deliver_due
from .schedule import LOST_AFTER


class DeliverWebhooks:
    """Sends the due deliveries of the endpoint in its args, and snoozes until more are due."""

    async def process(self, job: Job) -> Snooze | None:
        """As Oban's workers."""
        attachment = find_attachment(job)
        again = await deliver_due(attachment.connect, job.args["endpoint_id"], job.id or 0, job.cancelled)
        return None if again is None else Snooze(max(1, math.ceil(again.total_seconds())))

    def backoff(self, job: Job) -> int:
        """Seconds after a fault of our own, such as a lost database; receivers have their own schedule."""
        return min(2**job.attempt, 60)

    def timeout(self, _: Job) -> float:
        """Seconds; longer than it ever takes."""
        return LOST_AFTER.total_seconds() - 5
