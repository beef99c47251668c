"""Tables fit into a terminal without losing what somebody copies."""

from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.cli import text
from oban_powertools.cli.tables import Column, Table

type Record = tuple[str, str, str]

PLAIN = Table[Record](
    (
        Column("STATUS", lambda record: record[0], whole=True),
        Column("NAME", lambda record: record[1]),
        Column("QUEUE", lambda record: record[2]),
    )
)
CELL = st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), max_size=90)
WORDS = st.lists(st.text("abc-日", max_size=12), max_size=30).map(" ".join)


def lines(table: Table[Record], *records: Record, room: int = 40) -> list[str]:
    return [line.sentence or "  ".join(line.cells).rstrip() for line in table.lay_out(records, room)]


def test_columns_are_as_wide_as_what_they_hold_where_there_is_room() -> None:
    assert lines(PLAIN, ("Blocked", "a long name", "q"), ("Running", "b", "mail")) == [
        "STATUS   NAME         QUEUE",
        "Blocked  a long name  q",
        "Running  b            mail",
    ]


def test_the_widest_text_is_shortened_first() -> None:
    assert lines(PLAIN, ("Blocked", "n" * 60, "default"))[1] == f"Blocked  {'n' * 21}…  default"


def test_a_column_without_a_value_is_left_out() -> None:
    assert lines(PLAIN, ("Blocked", "", "default"), ("Running", "", "")) == [
        "STATUS   QUEUE",
        "Blocked  default",
        "Running",
    ]


def test_what_is_copied_is_whole_in_the_narrowest_terminal() -> None:
    table = Table[Record](
        (Column("ID", lambda record: record[0], whole=True), Column("NAME", lambda record: record[1]))
    )

    assert lines(table, ("0d3f5a1e-8c3b-4b7e-9a51-0b5c2f7d1e44", "n" * 60, ""), room=20)[1] == (
        "0d3f5a1e-8c3b-4b7e-9a51-0b5c2f7d1e44  nnnnnnn…"
    )


def test_spare_columns_go_before_anything_is_shortened_and_the_last_one_first() -> None:
    table = Table[Record](
        (
            Column("NAME", lambda record: record[0]),
            Column("STARTED", lambda record: record[1], spare=True),
            Column("VIA", lambda record: record[2], spare=True),
        )
    )

    assert lines(table, ("n" * 28, "3 min ago", "cli"))[1] == f"{'n' * 28}  3 min ago"


def test_numbers_are_aligned_to_the_right() -> None:
    table = Table[Record]((Column("JOBS", lambda record: len(record[0]), number=True),))

    assert lines(table, ("a", "", ""), ("a" * 100, "", "")) == ["JOBS", "   1", " 100"]


def test_a_sentence_follows_its_row_whole_on_lines_of_its_own_and_only_a_very_long_one_is_cut() -> None:
    table = Table[Record](PLAIN.columns, sentence=lambda record: record[1])
    sentence = "the bank does not answer"

    assert lines(table, ("Blocked", " ".join([sentence] * 5), "q"), ("Running", "", "q"), room=30)[2:] == [
        *[f"    {sentence}"] * 5,
        "Running                  q",
    ]
    assert lines(table, ("Blocked", f"{sentence} " * 20, "q"), room=30)[2:] == [
        *[f"    {sentence}"] * 7,
        f"    {sentence} …",
    ]


def test_a_state_that_its_word_says_is_shown_only_beside_states_that_no_word_says() -> None:
    def state(record: Record) -> str:
        return text.state_beside(record[0], record[1])

    table = Table[Record](
        (
            Column("STATUS", lambda record: record[0], whole=True),
            Column("STATE", state, whole=True, else_=lambda record: record[1]),
        )
    )

    running, blocked = ("Running", "running", ""), ("Blocked", "executing", "")
    assert lines(table, running) == ["STATUS", "Running"]
    assert lines(table, running, blocked) == ["STATUS   STATE", "Running  running", "Blocked  executing"]


@given(st.lists(st.tuples(CELL, CELL, WORDS), min_size=1), st.integers(30, 200))
def test_no_row_is_wider_than_the_terminal(records: list[Record], room: int) -> None:
    table = Table[Record](
        (
            Column("A", lambda record: record[0]),
            Column("B", lambda record: record[1]),
            Column("C", lambda record: record[2], spare=True),
        ),
        sentence=lambda record: record[2],
    )

    assert max(map(text.width, lines(table, *records, room=room))) <= room
