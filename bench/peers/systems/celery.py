"""Celery with Redis: what is left of a chain travels in its messages, a chord is a counter in Redis."""

import json
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bench.peers.ran import RAN
from bench.peers.work import Peer, Work


class System(Peer):
    requires = ("celery[redis]", "psycopg[binary]")
    versions_of = ("celery", "redis")
    about = (
        "Tasks over Redis (append-only file, synced every second), acks_late, in a prefork pool of two processes "
        "whatever is asked for: the setting in which it was fastest on two processors."
    )
    lacks = (
        "No durability of the last second of work. No workflow is stored: a chain lives in the message under way. "
        "No state of a workflow, no repair, no events that can be read again."
    )

    def install(self) -> None:
        self._redis().flushall()

    def _redis(self) -> Any:
        return import_module("redis").Redis.from_url(os.environ["BENCH_REDIS_URL"])

    def open(self) -> None:
        self._store = self._redis()
        self._tasks = self._app()

    def _app(self) -> Any:
        url = os.environ["BENCH_REDIS_URL"]
        app = import_module("celery").Celery("bench", broker=url, backend=url)
        app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
        app.task(name="step")(_step)
        app.task(name="next")(_next)
        app.task(name="join")(_join)
        return app

    def submit(self, work: Work) -> Sequence[str]:
        canvas = import_module("celery")
        step, follow, join = (self._tasks.tasks[name] for name in ("step", "next", "join"))
        ids: list[str] = []
        for _ in range(work.count):
            if work.shape == "chain":
                whole = canvas.chain(step.si(0), *(follow.s() for _ in range(work.size - 1)))
            else:
                middle = canvas.group([step.si(i) for i in range(work.size)])
                whole = canvas.chain(step.si(0), canvas.chord(middle, join.s()))
            ids.append(whole.apply_async().id)
        return ids

    def count_ended(self, ids: Sequence[str]) -> int:
        stored = self._store.mget([f"celery-task-meta-{one}" for one in ids])
        return sum(1 for result in stored if result and json.loads(result)["status"] == "SUCCESS")

    def count_recorded(self) -> int:
        return sum(1 for _ in self._store.scan_iter("celery-task-meta-*", count=5000))

    def close(self) -> None:
        self._store.close()

    def work(self, ready: Callable[[], None]) -> None:
        app = self._app()

        def say_so(**_: Any) -> None:
            ready()

        import_module("celery.signals").worker_ready.connect(say_so)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        app.worker_main(["worker", "-l", "WARNING", "-P", "prefork", "-c", str(self.limit), *quiet])


def _step(i: int) -> dict[str, Any]:
    return RAN.step(i)


def _next(before: dict[str, Any]) -> dict[str, Any]:
    return RAN.step(before["i"] + 1)


def _join(results: list[Any]) -> dict[str, Any]:
    return RAN.step(len(results))
