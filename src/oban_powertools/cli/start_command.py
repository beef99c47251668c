"""``start``: run a worker process as ``oban start`` does, with Powertools attached.

The rule that must never break: after SIGTERM, running jobs finish before the process ends.
"""

import asyncio
import dataclasses
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import click
import orjson
from oban import Job, telemetry
from oban.telemetry import logger as telemetry_logger
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from .. import schema
from ..config import Settings
from ..database import connect, describe_dsn
from ..database.oban import Config
from ..database.pools import obans_pool
from ..powertools import Powertools
from ..privacy.logs import Redacting, find_logger
from ..workflows.job_identity import identity_of, is_step
from .exits import Exit
from .groups import examples
from .importing import find_settings, import_from_here, import_modules
from .json_log import JsonFormatter
from .listening import address_of, listen
from .output import OneLineFormatter
from .running import run_to_its_end
from .supervising import Supervisor, find_place
from .target import Database, on_database

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger: Final = find_logger("oban_powertools.cli")


def _parse_queues(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    """Queue -> limit of ``default:20,mail:5``; every malformed part is an error, never left out."""
    queues: dict[str, int] = {}
    for part in () if value is None else value.split(","):
        name, _, limit = (piece.strip() for piece in part.partition(":"))
        if not name or not (limit.isascii() and limit.isdigit() and int(limit) > 0):
            raise click.BadParameter(f"{part.strip()!r} is not a queue with its limit, such as default:20", ctx, param)
        if name in queues:
            raise click.BadParameter(f"queue {name!r} is named twice", ctx, param)
        queues[name] = int(limit)
    return queues


queues_option: Final = click.option(
    "--queues",
    callback=_parse_queues,
    envvar="OBAN_QUEUES",
    show_envvar=True,
    metavar="NAME:LIMIT,...",
    help="Queues to work on, with the number of jobs that may run at once.",
)
"""Shared with ``check``, which compares the queues."""


@click.command(epilog=examples("powertools start --queues default:20,mail:5 --import myapp.workers"))
@queues_option
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module first: cron workers register themselves. May be repeated.",
)
@click.option("--node", envvar="OBAN_NODE", show_envvar=True, help="Name of this process.  [default: host and pid]")
@click.option(
    "--settings",
    envvar="POWERTOOLS_SETTINGS",
    show_envvar=True,
    callback=find_settings,
    metavar="MODULE:NAME",
    help="Work with these Settings of yours.",
)
@click.option("--turbo/--no-turbo", default=True, show_default=True, help="Acknowledge and insert jobs in bulk.")
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="To stderr.",
)
@click.option("--log-jobs", is_flag=True, help="Log one line for each job that has ended.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line for each record.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="POWERTOOLS_PORT",
    show_envvar=True,
    help="Answer /livez, /readyz and /metrics here; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address of --port.")
@click.option(
    "--processes", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes to run and keep."
)
@click.option("--reload", is_flag=True, help="For development: start again when a Python file here changes.")
@on_database
def start(
    target: Database,
    *,
    queues: dict[str, int],
    modules: Sequence[str],
    node: str | None,
    settings: Settings,
    turbo: bool,
    log_level: str,
    log_jobs: bool,
    log_format: str,
    port: int | None,
    host: str,
    processes: int,
    reload: bool,
) -> int:
    """Run workers until a signal says stop.

    SIGTERM and Ctrl+C let running jobs finish (15 s, or shutdown_grace_period in oban.toml); a second
    Ctrl+C ends the process at once. Workers are imported from the current directory, as with python -m.
    """
    place = find_place()
    config = _configure(target.config, queues, node, place)
    _log_to_stderr(log_level, is_json=log_format == "json")
    if place is None and (processes > 1 or reload):
        return Supervisor(processes, Path.cwd() if reload else None).run()
    import_from_here()
    import_modules(modules)
    with ExitStack() as stack:
        listening = None if port is None else stack.enter_context(listen(host, port and port + (place or 0)))
        work = _work(dataclasses.replace(target, config=config), settings, listening, turbo=turbo, log_jobs=log_jobs)
        run_to_its_end(work)
    return Exit.DONE


def _configure(config: Config, queues: dict[str, int], node: str | None, place: int | None) -> Config:
    named = node or config.node
    if named and place is not None:
        named = f"{named}.{place}"
    queued = dataclasses.replace(
        config, queues={**config.queues, **queues}, node=named or f"{socket.gethostname()}.{os.getpid()}"
    )
    if not queued.queues:
        raise click.UsageError(
            "no queue to work on: pass --queues default:20, set OBAN_QUEUES, or write it in oban.toml"
        )
    return queued


def _log_to_stderr(level: str, *, is_json: bool) -> None:
    logging.basicConfig(level=level.upper(), stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter() if is_json else OneLineFormatter(_LINE))
        handler.addFilter(Redacting())


async def _work(
    target: Database, settings: Settings, listening: socket.socket | None, *, turbo: bool, log_jobs: bool
) -> None:
    stopping = _stop_on_signals()
    embedded, dsn = target.data_directory is not None, target.find_dsn(create=True)
    async with await connect(dsn) as session:
        if embedded:
            await schema.install(session, target.names)
        await target.check(session)
        database = describe_dsn(session.info.dsn)
    _follow_oban(logging.getLogger().isEnabledFor(logging.DEBUG), log_jobs=log_jobs)
    set_json_dumps(orjson.dumps)  # as oban start
    set_json_loads(orjson.loads)
    config = target.config
    pool = obans_pool(dsn, **_pool_options(config))
    await pool.open(wait=True)
    try:
        oban = await config.create_oban(pool)
        # Attached before Oban starts: a job that runs without the hooks loses its result.
        attached = Powertools(oban, display=target.display, schema=target.names.schema, turbo=turbo, settings=settings)
        async with AsyncExitStack() as stack:
            if listening is not None:
                from .probes import Probes

                await stack.enter_async_context(Probes(attached, stopping).serve(listening))
                logger.info("answering probes on %s", address_of(listening))
            await stack.enter_async_context(oban)
            await stack.enter_async_context(attached)
            logger.info("working on %s as %s; database %s", _listed(config.queues), config.node, database)
            await stopping.wait()
    finally:
        await pool.close()
    logger.info("stopped")


def _pool_options(config: Config) -> dict[str, Any]:
    """Pool options with the sizes and times that Oban's own command uses."""
    options: dict[str, Any] = {
        "min_size": config.pool_min_size,
        "max_size": config.pool_max_size,
        "timeout": config.pool_timeout,
        "max_lifetime": config.pool_max_lifetime,
        "max_idle": config.pool_max_idle,
        "check": AsyncConnectionPool.check_connection if config.pool_check else None,
    }
    return {"min_size": 1, "max_size": 10} | {name: value for name, value in options.items() if value is not None}


def _listed(queues: Mapping[str, Any]) -> str:
    limits = {name: queue if isinstance(queue, int) else queue.get("limit") for name, queue in queues.items()}
    return ", ".join(f"{name}:{limit}" for name, limit in limits.items())


def _stop_on_signals() -> asyncio.Event:
    stopping, interrupts = asyncio.Event(), 0

    def stop(name: str) -> None:
        nonlocal interrupts
        interrupts += name == "SIGINT"
        if interrupts > 1:
            logger.warning("ending at once; running jobs are left to be rescued")
            os._exit(Exit.INTERRUPTED)
        again = "; Ctrl+C again ends at once" if interrupts else ""
        logger.info("%s: letting running jobs finish%s", name, again)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number.name)
    return stopping


def _follow_oban(every_job: bool, *, log_jobs: bool) -> None:
    """Log what Oban reports: a failed job as one line, every job at DEBUG or as asked; never args and meta."""
    loops = [name for name in telemetry_logger.EVENTS if not name.startswith("oban.job.")]
    telemetry_logger.attach(level=logging.DEBUG, events=loops)
    telemetry.attach("powertools", ["oban.job.exception"], _log_failure)
    telemetry.attach("powertools", ["oban.queue.shutdown"], _log_shutdown)
    if log_jobs:
        telemetry.attach("powertools-jobs", ["oban.job.stop", "oban.job.exception"], _log_end)
    if every_job:
        telemetry.attach("powertools-debug", ["oban.job.start", "oban.job.stop"], _log_job)


def _log_failure(_: str, event: dict[str, Any]) -> None:
    logger.warning("%s is %s: %s: %s", _attempt_of(event), event["state"], event["error_type"], event["error_message"])


def _log_shutdown(_: str, event: dict[str, Any]) -> None:
    if event["orphaned"]:
        jobs = ", ".join(map(str, event["orphaned"]))
        logger.warning("the grace period of queue %s is over; left to run elsewhere: jobs %s", event["queue"], jobs)


def _log_end(_: str, event: dict[str, Any]) -> None:
    job, seconds = event["job"], event["duration"] / 1e9
    fields = {
        "job_id": job.id,
        "worker": job.worker,
        "queue": job.queue,
        "attempt": job.attempt,
        "state": str(event["state"]),
        "seconds": round(seconds, 3),
    }
    logger.info("%s is %s after %.3f s", _attempt_of(event), event["state"], seconds, extra={"fields": fields})


def _log_job(_: str, event: dict[str, Any]) -> None:
    logger.debug("%s is %s", _attempt_of(event), event.get("state", "started"))


def _attempt_of(event: dict[str, Any]) -> str:
    job: Job = event["job"]
    identity = identity_of(job)
    step = f" (step {identity['step']} of workflow {identity['workflow_id']})" if is_step(job) else ""
    # Without its worker no attempt is used up (attempts/B3).
    begun = event.get("error_type") != "WorkerResolutionError"
    attempt = f"attempt {job.attempt}/{job.max_attempts}" if begun else "not begun, no attempt used up,"
    return f"job {job.id} {job.worker}{step} {attempt}"
