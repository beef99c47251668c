"""x"""

from tests.by_hand import Hand, chain


async def test_chain(each_hand: Hand) -> None:
    w = await each_hand.insert(chain(3))
    await each_hand.run(w, {"s0": {"a": 1}})
    await each_hand.run_all(w)
    assert (await each_hand.workflow(w)).state == "completed"
    assert (await each_hand.workflows.results(w))["s0"] == {"a": 1}
