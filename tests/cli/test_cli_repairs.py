"""``repair`` and ``bulk`` on the command line: two commands each, with honest exit codes."""

from tests.support.by_hand import Hand, chain
from tests.support.command import powertools

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

    assert [ended.code for ended in (missing, unknown, illegal, forged)] == [3, 5, 5, 3]


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
    assert "target_not_found" in powertools("bulk", "status", shown.json["bulk"]["id"], dsn=hand.dsn).out
