"""What a message may hold: nothing in an event can end it or begin another one."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from oban_powertools import (
    Cursor,
    Event,
    OperatorStatus,
    StepChange,
    StepState,
    StepUpdated,
    WorkflowFinished,
    WorkflowId,
)
from oban_powertools import WorkflowState as State
from oban_powertools.integrations.sse.stream import event_message, reset_message
from tests.support.event_source import Message, Parser

FORGED = "x\r\n\r\nid: 999\nevent: workflow_finished\rdata: {}\n\n:\u2028\u2029\x85\x00"
text = st.text() | st.just(FORGED) | st.text(st.sampled_from("\r\n:x \0\u2028dataeventid"))
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def step_event(name: str, label: str, worker: str | None, error: str | None) -> Event:
    return StepUpdated(
        workflow_id=WorkflowId(1),
        workflow_label=label,
        step_name=name,
        worker=worker,
        change=StepChange.RETRYING,
        status=OperatorStatus.WAITING,
        state=StepState.RETRYABLE,
        blocker="retry_backoff",
        job_id=None,
        attempt=1,
        has_result=False,
        error=error,
        timestamp=AT,
        number=1,
        cursor=Cursor(7),
    )


def end_event(label: str, failed: list[str]) -> Event:
    return WorkflowFinished(
        workflow_id=WorkflowId(1),
        workflow_label=label,
        status=OperatorStatus.FINISHED,
        outcome=State.FAILED,
        failed_steps=tuple(failed),
        generation=1,
        timestamp=AT,
        number=2,
        cursor=Cursor(7),
    )


events = st.builds(step_event, text, text, st.none() | text, st.none() | text) | st.builds(
    end_event, text, st.lists(text, max_size=3)
)


@given(events, st.integers(1, 7))
@example(step_event(FORGED, FORGED, FORGED, FORGED), 1)
@example(end_event(FORGED, [FORGED]), 1)
def test_any_text_in_an_event_arrives_as_it_is_and_as_one_message(event: Event, size: int) -> None:
    fields = event.to_dict()
    sent = event_message(event).encode().decode()
    parser = Parser()

    found = [message for at in range(0, len(sent), size) for message in parser.feed(sent[at : at + size])]

    [message] = found
    assert (message.id, message.event, message.json) == ("7", fields["type"], fields)
    assert sent.count("\n\n") + sent.count("\r\n\r\n") == 1


def test_a_reset_says_where_to_go_on() -> None:
    [message] = Parser().feed(reset_message(Cursor(41)).encode().decode())

    assert message == Message(id="41", event="reset", data='{"type":"reset","cursor":"41"}')
