"""Secrets that are planted wherever users have some appear at no door under the default display policy (security/S8).

What begins with ``velvet`` looks like a secret by its key or its form, and appears nowhere. What begins with ``meadow``
is an ordinary word under an ordinary key, which no policy can tell from a secret: it appears only where somebody asked
for exactly that value.
"""

import asyncio
import io
import logging
import re
import subprocess
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from oban import Job
from prometheus_client import CollectorRegistry, generate_latest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from oban_powertools import Cursor, Powertools, Workflow
from oban_powertools.cli.main import run
from oban_powertools.integrations.prometheus import PowertoolsCollector
from oban_powertools.integrations.sse.stream import event_message
from oban_powertools.states import JobId, WorkflowId
from tests.cli.test_cli_reference import COMMANDS
from tests.support.agents import read_as_agent
from tests.support.by_hand import everybody_may
from tests.support.command import POWERTOOLS, environment
from tests.support.command import powertools as powertools_command
from tests.support.over_http import read_over_http

ROOT = Path(__file__).parents[2]
PLANTED = re.compile(r"velvet\w*|meadow\w*")
HIDDEN = re.compile(r"velvet\w*")
WEBHOOK_SECRET = "whsec_" + b64encode(b"velvet-and-some-more-of-it-to-be-long").decode()
ENV_SECRET = "whsec_" + b64encode(b"another-of-velvet-that-is-in-the-env").decode()

ERRORS = {
    "url": "cannot reach postgresql://app:velveturl@db.internal:5432/app",
    "key": 'refused: {"api_key": "velvetkey with blanks", "region": "eu"}',
    "bearer": "401 for Authorization: Bearer velvetbearer.of.some.length",
    "prefix": "no such key sk_live_velvetprefix",
    "long": "session velvet4711velvet4711velvet expired",
    "cut": f"{'so long that it is cut. ' * 19}postgresql://app:velvetcut@db/app and more of it",
    "lines": "many\nlines, password=velvetlines, in it",
}
REASON = "the password=velvetreason was wrong"

APPLICATION = {
    "workflows": {"context"},
    "steps": {"args", "template", "meta", "result", "error"},
    "signals": {"payload"},
    "webhook_endpoints": {"url"},
    "webhook_secrets": {"secret"},
}
"""Table -> columns that hold the application's own data, or what signing needs; nothing else may hold any of it."""

ASKED_FOR = {"workflow list", "workflow show", "workflow export", "workflow cancel", "signal", "agents", "api"}
"""Doors that print a context, args, results or a payload because somebody asked for exactly these."""

REVEALS = {"job reveal", "workflow reveal"}
"""Doors that print a value as it is stored, to whoever may see it and says why; nothing else of it remains."""


@dataclass
class World:
    """A database where secrets have been planted and used."""

    dsn: str
    powertools: Powertools
    leaky: WorkflowId
    broken: WorkflowId
    spare: list[WorkflowId]
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    tokens: list[str] = field(default_factory=list[str])

    def spend(self) -> WorkflowId:
        """A workflow that has not been used yet; its step ``waits`` is held by nobody."""
        return self.spare.pop()


def planted_args(**more: object) -> dict[str, object]:
    return {"api_key": "velvetargs", "note": "meadowargs", "nested": [{"password": "velvetdeep"}], **more}


def job(worker: str, *, queue: str = "default", tries: int = 1, **args: object) -> Job:
    meta = {"session_token": "velvetmeta", "hint": "meadowmeta"}
    worker = f"tests.support.secret_steps.{worker}"
    return Job(worker, args=planted_args(**args), queue=queue, max_attempts=tries, meta=meta)


def leaky_workflow() -> Workflow:
    context = {"label": "Sync", "password": "velvetcontext", "note": "meadowcontext"}
    workflow = Workflow("leaky", context=context)
    returns = {"refresh_token": "velvetresult", "note": "meadowresult", "url": "redis://:velvetredis@cache/0"}
    keeps = workflow.add("keeps", job("Keep", returns=returns))
    workflow.add("uses", job("Keep", returns=keeps.result, secret=keeps.result["refresh_token"]))
    for name, says in ERRORS.items():
        workflow.add(f"breaks_{name}", job("Break", says=says))
    workflow.add("after", job("Keep", returns=None), deps=["breaks_url"])
    workflow.add("retries", job("Break", says=ERRORS["url"], tries=5))
    workflow.add("gives_up", job("GiveUp", says="cookie: velvetcookie"))
    workflow.await_signal("waits", signal="approved", correlation_key="7")
    workflow.await_signal("waits_on", signal="approved", correlation_key="never")
    workflow.add("elsewhere", job("Keep", returns=None, queue="nobody"))
    workflow.add("later", job("Keep", returns=None, queue="nobody"))
    return workflow


def spare_workflow() -> Workflow:
    workflow = Workflow("spare", context={"password": "velvetspare"})
    workflow.add("held", job("Keep", returns=None, queue="nobody"))
    return workflow


@asynccontextmanager
async def planted(dsn: str, log: Path) -> AsyncIterator[World]:
    """Every kind of value, in workflows that a real worker process has run, at its most talkative."""
    dsn = dsn if conninfo_to_dict(dsn).get("password") else make_conninfo(dsn, password="velvetdsn")
    async with Powertools.open(dsn, authorize=everybody_may) as powertools:
        workflows = powertools.workflows
        await powertools.webhooks.add(
            "http://127.0.0.1:9/hook?token=velvethook",
            allow_private=True,
            secret=WEBHOOK_SECRET,
            description=REASON,
            actor="ops",
            reason=REASON,
        )
        leaky = (await workflows.insert(leaky_workflow())).id
        broken = Workflow("broken")
        broken.add("breaks", job("Break", says=ERRORS["url"]))
        broken_id = (await workflows.insert(broken)).id
        spare = [(await workflows.insert(spare_workflow())).id for _ in range(8)]
        await powertools.oban.enqueue_many([job("Break", says=says) for says in ERRORS.values()])
        world = World(dsn, powertools, leaky, broken_id, spare)
        world.outputs["start"] = await asyncio.to_thread(run_worker, dsn, log)
        await workflows.signal("approved", "7", {"otp_secret": "velvetsignal", "note": "meadowsignal"})
        await workflows.signal("approved", "8", {"otp_secret": "velvetstored", "note": "meadowstored"})
        # An error: what is no secret in it is for people to read.
        await workflows.complete_step(leaky, "elsewhere", status="discarded", payload={"password": "velvettold"})
        await workflows.hold(leaky, "later", hold_for=timedelta(hours=1), actor="ops", reason=REASON)
        await powertools.events.publish(spare[0], "held", "retrying", error="secret=velvetpublished")
        await powertools.lifeline.project_incidents()
        await powertools.webhooks.dispatch()
        yield world


def run_worker(dsn: str, log: Path) -> str:
    """All that ``powertools start`` logs while it runs what can be run."""
    command = [POWERTOOLS, "start", "--queues", "default:5", "--log-level", "debug"]
    with log.open("wb") as stderr, psycopg.connect(dsn, autocommit=True) as conn:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(dsn), stderr=stderr)
        try:
            until = time.monotonic() + 60
            while unfinished(conn):
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
    return log.read_text()


def unfinished(conn: psycopg.Connection) -> int:
    """Jobs of the worker's queue that have not been tried yet, or are being tried."""
    row = conn.execute(
        "SELECT count(*) FROM oban_jobs WHERE queue = 'default' AND state IN ('available', 'executing', 'scheduled')"
    ).fetchone()
    assert row is not None
    return row[0]


def invoke(world: World, path: Sequence[str], *arguments: str) -> str:
    """What a command prints, on stdout and stderr, in this process."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, write_through=True)
    with redirect_stdout(stream), redirect_stderr(stream):
        code = run([*path, "--dsn", world.dsn, *arguments])
    stream.flush()
    printed = written.getvalue().decode()
    assert "unexpected" not in printed, printed
    assert code != 2, printed
    return printed


type Case = Callable[[World], Sequence[Sequence[str]]]

WHY = ("--reason", REASON)
ONE_HOUR = ("--for", "1h")


def of(*arguments: str) -> Case:
    """The command with these arguments."""
    return lambda _: [arguments]


def preview(world: World) -> Sequence[Sequence[str]]:
    payload = '{"secret": "velvetpreview", "note": "meadowpreview"}'
    return [
        ("step_complete", f"{world.leaky}/later", "--payload", payload),
        ("step_retry", f"{world.leaky}/breaks_key"),
        ("step_hold", f"{world.spend()}/held", *ONE_HOUR),
    ]


def execute(world: World) -> Sequence[Sequence[str]]:
    return [(*WHY, token) for token in world.tokens]


CASES: dict[str, Case] = {
    "install": of(),
    "upgrade": of(),
    "status": of(),
    "roles": of(),
    "workflow list": of(),
    "workflow show": lambda w: [
        [str(w.leaky)],
        [str(w.leaky), "--results"],
        *([str(w.leaky), "--step", name] for name in (*steps_that_ended(), "waits", "later", "after", "retries")),
    ],
    "workflow explain": lambda w: [[str(w.leaky)], [str(w.broken)], *([str(w.leaky), name] for name in all_steps())],
    "workflow export": lambda w: [[str(w.leaky)]],
    "workflow graph": lambda w: [[str(w.leaky), *how] for how in ([], ["--format", "dot"], ["--svg", "-"])],
    "workflow hold": lambda w: [[str(w.spend()), *ONE_HOUR, *WHY]],
    "workflow release": lambda w: [[str(w.leaky), "later", *WHY]],
    "workflow recover": lambda w: [
        [str(w.leaky), "breaks_url", "--action", "complete", "--payload", '{"token": "velvetrecovered"}', *WHY],
        [str(w.leaky), "uses", *WHY],
    ],
    "workflow commands": lambda w: [[str(w.leaky)]],
    "workflow history": lambda w: [[str(w.leaky)], [str(w.broken)]],
    "job list": of(),
    "signals list": of(),
    "watch": of(),
    "signals waits": of(),
    "job explain": lambda w: [[str(number)] for number in job_ids(w)],
    "job reveal": lambda w: [[str(job_ids(w)[0]), "--what", "args", *WHY]],
    "workflow reveal": lambda w: [
        [str(w.leaky), "--what", "context", *WHY],
        [str(w.leaky), "keeps", "--what", "result", *WHY],
    ],
    "signal": of("approved", "--key", "9", "--payload", '{"otp_secret": "velvetsent", "note": "meadowsent"}'),
    "events tail": lambda w: [[]],
    "executors list": of(),
    "incidents list": of(),
    "incidents show": lambda w: [[number] for number in incident_ids(w)],
    "incidents ack": lambda w: [[incident_ids(w)[0]]],
    "incidents note": lambda w: [[incident_ids(w)[0], REASON]],
    "incidents assign": lambda w: [[incident_ids(w)[0], "ada"]],
    "incidents mute": lambda w: [[incident_ids(w)[0], *ONE_HOUR, *WHY]],
    "repair preview": preview,
    "repair execute": execute,
    "repair list": of(),
    "repair approve": lambda w: [[str(number), *WHY] for number in ids(w, "previews")],
    "repair show": lambda w: [[str(number)] for number in ids(w, "previews")],
    "bulk preview": lambda w: [["workflow_cancel", "--id", str(w.spend()), "--id", str(w.broken)]],
    "bulk execute": execute,
    "bulk status": lambda w: [[str(number)] for number in ids(w, "bulks")],
    "webhooks list": of(),
    "queues list": of(),
    "queues show": of("default"),
    "queue pause": of("default", "--actor", "ada", "--reason", "too much at once"),
    "queue resume": of("default", "--actor", "ada", "--reason", "quiet again now"),
    "queue scale": of("default", "3", "--actor", "ada", "--reason", "too much at once"),
    "webhooks add": of(
        "https://example.com/hook?api_key=velvetadded",
        "--secret-from-env",
        "WEBHOOK_SECRET",
        "--description",
        REASON,
        *WHY,
    ),
    "webhooks test": of("1"),
    "webhooks rotate": of("1", "--secret-from-env", "WEBHOOK_SECRET", *WHY),
    "webhooks deliveries": of("1"),
    "webhooks replay": of("1", *WHY),
    "webhooks disable": of("1", *WHY),
    "webhooks enable": of("1", *WHY),
    "webhooks remove": of("1", "--yes", *WHY),
    "doctor": of("--deep", "--notes"),
    "check": of("--queues", "default:5"),
    "settings list": of(),
    "settings set": of("incident_failing_count", "7", *WHY),
    "retention status": of(),
    "retention prune": of("--yes", *WHY),
    "workflow cancel": lambda w: [[str(w.leaky), "--yes", *WHY], [str(w.leaky), "--yes", *WHY]],
    "audit list": of(),
    "audit show": lambda w: [[str(number)] for number in ids(w, "audit")],
    "audit verify": of(),
    "audit export": of(),
    "start": lambda _: [],
    "mcp": lambda _: [],
    "web": lambda _: [],
    "password": lambda _: [],
    "uninstall": lambda _: [],
    "completion": lambda _: [],
    "openapi": lambda _: [],
    "demo": lambda _: [],
}
"""Command -> how it is called; in this order, which uses things before it removes them. ``start`` made the world."""


def steps_that_ended() -> list[str]:
    return ["keeps", "uses", "gives_up", "elsewhere", *(f"breaks_{name}" for name in ERRORS)]


def all_steps() -> list[str]:
    return [*steps_that_ended(), "after", "retries", "waits", "waits_on", "later"]


def ids(world: World, table: str) -> list[int]:
    with psycopg.connect(world.dsn) as conn:
        query = sql.SQL("SELECT id FROM powertools.{} ORDER BY id").format(sql.Identifier(table))
        return [row[0] for row in conn.execute(query)]


def job_ids(world: World) -> list[int]:
    with psycopg.connect(world.dsn) as conn:
        return [row[0] for row in conn.execute("SELECT id FROM oban_jobs WHERE queue = 'default' ORDER BY id")]


def incident_ids(world: World) -> list[str]:
    return [str(number) for number in ids(world, "incidents")]


def test_every_command_has_a_case() -> None:
    assert {" ".join(path) for path in COMMANDS} == set(CASES)


def run_every_command(world: World) -> None:
    for name, case in CASES.items():
        path, printed = name.split(), ""
        for arguments in case(world):
            if name == "events tail":
                printed += tail(world)
                continue
            printed += invoke(world, path, *arguments)
            if name not in {"audit export"}:
                printed += invoke(world, path, "--json", *arguments)
        world.outputs[name] = world.outputs.get(name, "") + printed
        if name.endswith(" preview"):
            # Each is shown once, to whoever asked; from here on it is a secret like any other.
            world.tokens = re.findall(r"^token +(\S+)$", printed, re.MULTILINE)


def tail(world: World) -> str:
    """In a process of its own: it configures logging."""
    arguments = ("events", "tail", "--since", "0", "--workflow", str(world.broken), "--until-finished")
    ended = [powertools_command(*arguments, *more, dsn=world.dsn) for more in ((), ("--json",))]
    return "".join(end.out + end.err for end in ended)


async def look_everywhere(world: World) -> None:
    """What a program sees that asks as an operator, or scrapes."""
    powertools, lifeline = world.powertools, world.powertools.lifeline
    incidents = await lifeline.list_incidents()
    world.outputs["incidents"] = repr([await lifeline.get_incident(i.id) for i in incidents])
    assert incidents
    world.outputs["previews"] = repr([await lifeline.get_preview(number) for number in ids(world, "previews")])
    world.outputs["audit"] = repr(await powertools.audit.list(limit=1000))
    explained = [await powertools.explain.workflow(world.leaky)]
    explained += [await powertools.explain.workflow_step(world.leaky, name) for name in all_steps()]
    explained += [await powertools.explain.job(JobId(number)) for number in job_ids(world)]
    world.outputs["explanations"] = repr(explained)
    events = await powertools.events.read(since=Cursor(0))
    assert any(getattr(event, "error", None) for event in events)
    world.outputs["events"] = repr(events)
    world.outputs["streams"] = "".join(event_message(event).encode().decode() for event in events)
    world.outputs["agents"] = await read_as_agent(powertools, world.leaky, all_steps(), job_ids(world))
    asked = {
        "workflow_id": [world.leaky, world.broken],
        "step": all_steps(),
        "job_id": job_ids(world),
        "queue": ["default"],
        "incident": incident_ids(world),
        "preview_id": ids(world, "previews"),
        "bulk_id": ids(world, "bulks"),
        "record_id": ids(world, "audit"),
        "endpoint_id": ids(world, "webhook_endpoints"),
    }
    world.outputs["api"] = await read_over_http(powertools, asked)
    collector = PowertoolsCollector(powertools)
    registry = CollectorRegistry()
    registry.register(collector)
    world.outputs["metrics"] = (await asyncio.to_thread(generate_latest, registry)).decode()
    collector.close()
    world.outputs["tables"] = "".join(dump(world))


def dump(world: World) -> Iterator[str]:
    """Every row of ours without the columns of the application's own data."""
    with psycopg.connect(world.dsn) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'powertools'").fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT to_jsonb(t) - %s::text[] FROM powertools.{} t").format(sql.Identifier(table))
            for (row,) in conn.execute(query, [list(APPLICATION.get(table, ()))]):
                yield f"{table}: {row}\n"


@pytest.mark.timeout(300)
async def test_no_planted_secret_appears_at_any_door(
    dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", ENV_SECRET)
    caplog.set_level(logging.DEBUG)

    async with planted(dsn, tmp_path / "log") as world:
        await asyncio.to_thread(run_every_command, world)
        await look_everywhere(world)
    world.outputs["log"] = caplog.text + "".join(repr(vars(record)) for record in caplog.records)

    leaks = [f"{name}: {leak}" for name, output in world.outputs.items() for leak in leaks_of(world, name, output)]
    assert not leaks, "\n".join(leaks)


def leaks_of(world: World, name: str, output: str) -> list[str]:
    """What an output must not hold and does, with what stands before it."""
    hidden = "velvetreason" if name in REVEALS else (HIDDEN if name in ASKED_FOR else PLANTED).pattern
    shown_once = [] if name.endswith((" preview", " execute")) else world.tokens
    anything = "|".join([hidden, *map(re.escape, [WEBHOOK_SECRET, ENV_SECRET, *shown_once])])
    return sorted(set(re.findall(f".{{0,120}}(?:{anything})", output)))[:10]
