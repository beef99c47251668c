"""``repair`` and ``bulk`` on the command line: two commands each, with honest exit codes."""

from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.command import powertools
from tests.support.troubles import TROUBLES, project

WHY = ("--reason", "because the bank is back")


async def test_a_repair_is_previewed_and_then_executed_once(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("the bank is down")})

    shown = powertools("repair", "preview", "step_retry", f"{workflow_id}/s0", dsn=hand.dsn)
    token = powertools("repair", "preview", "step_retry", f"{workflow_id}/s0", "--json", dsn=hand.dsn).json["preview"][
        "preview_token"
    ]
    done = powertools("repair", "execute", token, *WHY, dsn=hand.dsn)
    again = powertools("repair", "execute", token, *WHY, dsn=hand.dsn)

    assert shown.code == 0
    assert token in shown.out
    assert "discarded" in shown.out
    assert (done.code, again.code) == (0, 5)
    assert (await hand.states(workflow_id))["s0"] == "available"
    assert await hand.one("SELECT surface FROM powertools.audit WHERE outcome = 'executed'") == "cli"


async def test_the_exit_codes_of_refusals(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    missing = powertools("repair", "preview", "job_retry", "4100", dsn=hand.dsn)
    unknown = powertools("repair", "preview", "dance", "1", dsn=hand.dsn)
    illegal = powertools("repair", "preview", "workflow_retry", str(workflow_id), dsn=hand.dsn)
    forged = powertools("repair", "execute", "forged", *WHY, dsn=hand.dsn)

    assert [ended.code for ended in (missing, unknown, illegal, forged)] == [3, 2, 5, 3]


async def test_a_severe_repair_needs_its_target_once_more(hand: Hand) -> None:
    workflow_id = str(await hand.insert(chain(2)))
    preview = powertools("repair", "preview", "workflow_cancel", workflow_id, "--json", dsn=hand.dsn).json["preview"]

    hasty = powertools("repair", "execute", preview["preview_token"], *WHY, dsn=hand.dsn)
    sure = powertools("repair", "execute", preview["preview_token"], "--confirm", workflow_id, *WHY, dsn=hand.dsn)

    assert (hasty.code, sure.code) == (2, 0)
    assert f"--confirm {workflow_id}" in hasty.err


async def test_a_bulk_tells_what_became_of_each_target(hand: Hand) -> None:
    workflow_id = str(await hand.insert(chain(2)))
    shown = powertools(
        "bulk", "preview", "workflow_cancel", "--id", workflow_id, "--id", "4100", "--json", dsn=hand.dsn
    )

    done = powertools("bulk", "execute", shown.json["bulk"]["preview_token"], *WHY, dsn=hand.dsn)

    assert done.code == 1
    assert "1 done, 1 refused" in done.out
    assert "bulk preview" not in done.out
    assert "target_not_found" in powertools("bulk", "status", shown.json["bulk"]["id"], dsn=hand.dsn).out


async def test_a_bulk_for_an_incident_leads_back_to_it(hand: Hand) -> None:
    await TROUBLES["failing_jobs"].happen(hand)
    incident = (await project(hand))[TROUBLES["failing_jobs"].fingerprint]
    shown = powertools("bulk", "preview", "job_retry", "--incident", str(incident.id), "--json", dsn=hand.dsn)
    await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now(), discarded_at = NULL WHERE id = 1")

    done = powertools("bulk", "execute", shown.json["bulk"]["preview_token"], *WHY, dsn=hand.dsn, COLUMNS="300")

    _, _, then = done.out.partition("next: ")
    assert [line.strip().removeprefix("or: ") for line in then.splitlines()] == [
        f"powertools incidents show {incident.fingerprint}",
        "powertools job explain 1",
    ]


async def test_what_follows_a_bulk_previews_what_it_left_and_the_repair_still_fits(hand: Hand) -> None:
    ids = [str(await hand.insert(chain(2))) for _ in range(4)]
    named = [word for workflow_id in ids for word in ("--id", workflow_id)]
    shown = powertools("bulk", "preview", "workflow_hold", *named, "--for", "2h", "--json", dsn=hand.dsn)
    await hand.workflows.request_cancel(WorkflowId(int(ids[1])), actor="ops-2", reason="nobody needs it")
    await hand.start((await hand.job(WorkflowId(int(ids[2])), "s0")).id)
    await hand.run(WorkflowId(int(ids[3])), {"s0": 1})

    done = powertools("bulk", "execute", shown.json["bulk"]["preview_token"], *WHY, dsn=hand.dsn)
    again = powertools(*done.out.partition("next: powertools ")[2].splitlines()[0].split(), "--json", dsn=hand.dsn)

    assert "2 done, 2 drifted" in done.out
    assert again.json["bulk"]["target_ids"] == [ids[3]]
    assert again.json["bulk"]["warnings"] == []


async def test_a_bulk_that_left_nothing_to_repair_suggests_no_preview(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    shown = powertools("bulk", "preview", "workflow_cancel", "--id", str(workflow_id), "--json", dsn=hand.dsn)
    await hand.workflows.request_cancel(workflow_id, actor="ops-2", reason="nobody needs it")

    done = powertools("bulk", "execute", shown.json["bulk"]["preview_token"], *WHY, dsn=hand.dsn)
    again = powertools("bulk", "preview", "workflow_cancel", "--left-by", "1", dsn=hand.dsn)

    assert "1 drifted" in done.out
    assert "bulk preview" not in done.out
    assert (again.code, "has left nothing that workflow_cancel fits now" in again.err) == (5, True)


async def test_a_drift_whose_repair_does_not_fit_any_more_leads_to_what_shows_why(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    shown = powertools("repair", "preview", "workflow_hold", str(workflow_id), "--for", "1h", "--json", dsn=hand.dsn)
    await hand.run_all(workflow_id)

    ended = powertools("repair", "execute", shown.json["preview"]["preview_token"], *WHY, dsn=hand.dsn, COLUMNS="300")
    seen = powertools("repair", "show", "1", dsn=hand.dsn)

    assert ended.code == 5
    assert "is already completed: there is nothing left to cancel or hold" in ended.err
    assert "The repair does not fit any more" in ended.err
    assert "repair preview" not in ended.err
    assert ended.err.rstrip().endswith(f"powertools workflow explain {workflow_id}")
    assert "expires" not in seen.out


async def test_a_drift_names_steps_as_every_screen_and_the_command_that_previews_again(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    target = f"{workflow_id}/s0"
    await hand.start((await hand.job(workflow_id, "s0")).id)
    preview = ("repair", "preview", "step_complete", target, "--payload", "1")
    token = powertools(*preview, "--json", dsn=hand.dsn).json["preview"]["preview_token"]
    await hand.rows("UPDATE oban_jobs SET state = 'retryable', scheduled_at = now() + interval '1 h'")

    ended = powertools("repair", "execute", token, *WHY, "--actor", "ada", dsn=hand.dsn, COLUMNS="300")
    mine = powertools("repair", "execute", token, *WHY, dsn=hand.dsn, COLUMNS="300")

    assert (ended.code, mine.code) == (5, 5)
    assert "made by another actor" in ended.err
    assert f"  powertools repair preview step_complete {target} --payload JSON" in ended.err
    assert 'state was "executing", now "retryable"' in mine.err
    assert f"  powertools repair preview step_complete {target} --payload JSON" in mine.err
    assert "sha256" not in mine.err
    assert f"{workflow_id}/0" not in mine.err
