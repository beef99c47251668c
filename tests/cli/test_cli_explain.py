"""Why things are as they are, and how they hang together, from the command line."""

from pathlib import Path

from oban import Job

from oban_powertools import Workflow
from tests.support.by_hand import Hand, chain
from tests.support.command import powertools


async def failing(hand: Hand) -> str:
    """The id of a workflow whose first step was discarded and cancelled the second."""
    workflow_id = await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("HTTP 503")})
    return str(workflow_id)


async def test_a_workflow_is_explained_with_its_root_causes(hand: Hand) -> None:
    workflow_id = await failing(hand)

    ended = powertools("workflow", "explain", workflow_id, dsn=hand.dsn, COLUMNS="200")

    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"workflow  {workflow_id} chain"
    assert lines[1] == "status    Finished (failed)"
    assert "s0 failed after 1 of 1 attempts: ValueError: HTTP 503" in lines[2]
    assert any(line.startswith("attempts_exhausted  Finished  1") for line in lines)


async def test_a_step_is_explained_with_what_it_depends_on(hand: Hand) -> None:
    workflow_id = str(await hand.insert(chain(2)))

    ended = powertools("workflow", "explain", workflow_id, "s1", dsn=hand.dsn)

    assert ended.code == 0
    assert f"step    s1 of workflow {workflow_id} chain" in ended.out
    assert "DEPENDS ON  STATE      ON FAILURE\ns0          available  cancel\n" in ended.out
    verdicts = dict(line.split()[:2] for line in ended.out.splitlines() if len(line.split()) > 1)
    assert (verdicts["step_retry"], verdicts["step_skip"]) == ("no", "yes")
    assert "complete_step" not in verdicts


async def test_the_job_of_a_step_that_failed_leads_to_the_retry_of_its_step(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")
    await hand.run(workflow_id, {"s0": ValueError("HTTP 503")})
    retry = f"powertools repair preview step_retry {workflow_id}/s0"

    explained = powertools("job", "explain", str(job.id), dsn=hand.dsn)

    assert f"next: {retry}\n" in explained.out
    assert powertools(*retry.split()[1:], dsn=hand.dsn).code == 0


async def test_an_explanation_as_json_has_ids_as_text(hand: Hand) -> None:
    workflow_id = await failing(hand)

    step = powertools("workflow", "explain", workflow_id, "s1", "--json", dsn=hand.dsn).json["explanation"]
    workflow = powertools("workflow", "explain", workflow_id, "--json", dsn=hand.dsn).json["explanation"]

    assert (step["workflow_id"], step["job_id"], step["state"]) == (workflow_id, None, "cancelled")
    assert isinstance(step["root_causes"][0]["job_id"], str)
    assert (workflow["workflow_id"], workflow["counts"]) == (workflow_id, {"cancelled": 1, "discarded": 1})
    assert workflow["explained_at"].endswith("Z")


async def test_a_plain_job_is_explained_too(hand: Hand) -> None:
    job_id = await hand.one("INSERT INTO oban_jobs (worker) VALUES ('app.Worker') RETURNING id")

    plain = powertools("job", "explain", str(job_id), dsn=hand.dsn)
    answer = powertools("job", "explain", str(job_id), "--json", dsn=hand.dsn).json

    assert plain.code == 0
    assert "queue_has_no_executor" in plain.out
    assert (answer["schema_version"], answer["explanation"]["job_id"]) == (1, str(job_id))


async def test_what_nobody_serves_leads_to_the_command_that_serves_it_before_any_incident(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job_id = (await hand.job(workflow_id, "s0")).id
    start = "next: powertools start --queues default:10  # where your workers are, with your limit and --import"

    def told(*words: object) -> str:
        return powertools(*map(str, words), dsn=hand.dsn).out

    assert start in told("job", "explain", job_id)
    assert start in told("workflow", "explain", workflow_id, "s0")
    assert f"next: powertools workflow explain {workflow_id} s0" in told("workflow", "explain", workflow_id)
    assert f"next: powertools workflow explain {workflow_id} s0" in told("workflow", "explain", workflow_id, "s1")


async def test_a_paused_queue_leads_to_its_resumption(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '10 min'")
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at) VALUES (gen_random_uuid(), 'a', 'default',"
        """ '{"paused": true, "local_limit": 3}', timezone('UTC', now()))"""
    )

    ended = powertools("workflow", "explain", str(workflow_id), "s0", dsn=hand.dsn)

    assert "next: powertools queue resume default --reason" in ended.out


async def test_a_worker_is_imported_only_when_asked_for_and_from_the_current_directory(
    hand: Hand, tmp_path: Path
) -> None:
    (tmp_path / "ledger.py").write_text("open('imported', 'w').close()\nclass Worker: pass\n")
    workflow = Workflow("imports")
    workflow.add("here", Job("ledger.Worker", args={}))
    workflow.add("nowhere", Job("no_such_module.Worker", args={}))
    workflow_id = str(await hand.insert(workflow))

    def explain(step: str, *options: str) -> str:
        return powertools("workflow", "explain", workflow_id, step, *options, dsn=hand.dsn, cwd=tmp_path).out

    assert "worker_not_importable" not in explain("nowhere")
    assert "worker_not_importable" not in explain("here")
    assert not (tmp_path / "imported").exists()
    assert "worker_not_importable" in explain("nowhere", "--check-import")
    assert "worker_not_importable" not in explain("here", "--check-import")
    assert (tmp_path / "imported").exists()


async def test_a_graph_is_drawn_for_mermaid_and_for_graphviz(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    mermaid = powertools("workflow", "graph", str(workflow_id), dsn=hand.dsn)
    dot = powertools("workflow", "graph", str(workflow_id), "--format", "dot", dsn=hand.dsn)
    answer = powertools("workflow", "graph", str(workflow_id), "--json", dsn=hand.dsn).json

    assert mermaid.out.rstrip() == (await hand.workflows.to_mermaid(workflow_id)).rstrip()
    assert dot.out.rstrip() == (await hand.workflows.to_dot(workflow_id)).rstrip()
    assert answer == {
        "schema_version": 1,
        "workflow_id": str(workflow_id),
        "format": "mermaid",
        "graph": await hand.workflows.to_mermaid(workflow_id),
    }


async def test_what_is_unknown_cannot_be_explained_or_drawn(hand: Hand) -> None:
    workflow_id = str(await hand.insert(chain(1)))

    for arguments in (
        ["workflow", "explain", "999"],
        ["workflow", "explain", workflow_id, "nope"],
        ["workflow", "graph", "999"],
        ["job", "explain", "999"],
    ):
        ended = powertools(*arguments, dsn=hand.dsn)
        assert (ended.code, ended.out) == (3, "")
        assert ended.error
