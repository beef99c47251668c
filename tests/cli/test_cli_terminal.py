"""Nothing that comes from a database or an argument steers the terminal that shows it, whichever command writes it."""

import ast
import io
import json
import logging
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from oban_powertools import Workflow
from oban_powertools.cli import output, text
from tests.project.test_repository import SOURCE
from tests.support.by_hand import Hand, step
from tests.support.command import on_a_terminal, powertools

JOINERS = "\u200c\u200d"
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
NASTY = "\x1b]0;owned\x07\x1b[31m\u202eevil\x9b31m\u200b\u061c\U000e0041\nFORGED"
"""A title, a colour, a direction, nothing to be seen, and a line of its own."""


def steering(shown: str) -> set[str]:
    """Characters that steer whoever shows the text; joiners spell words, and lines end."""
    return {c for c in shown if unicodedata.category(c) in HIDDEN and c not in JOINERS and c not in "\r\n"}


@given(st.text())
@example(NASTY)
@example("\ud800 \r \u2028 \xad \x7f")
def test_a_line_holds_no_character_that_steers_and_loses_none_that_is_seen(given_text: str) -> None:
    line = text.one_line(given_text)

    assert steering(line) == set() and "\n" not in line and "\r" not in line


@given(st.text().filter(str.isprintable))
@example("naïve 日本 \U0001f469")
def test_a_text_without_such_characters_stays_as_it_is(given_text: str) -> None:
    assert text.one_line(given_text) == given_text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@example({NASTY: [NASTY]})
def test_json_is_exact_and_holds_none_either(value: object) -> None:
    document = text.visible_json(json.dumps(value, ensure_ascii=False, indent=1))

    assert json.loads(document) == value
    assert steering(document) == set()


def test_one_file_writes_to_the_terminal() -> None:
    writers = {
        f"{path.name}:{node.lineno}"
        for path in (SOURCE / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in WRITERS and ast.unparse(node) not in WITHOUT_DATA
        if path.name != "output.py"
    }

    assert writers == set()


WRITERS = {
    "print",
    "click.echo",
    "click.secho",
    "click.confirm",
    "click.echo_via_pager",
    "click.prompt",
    "sys.stdout.write",
    "sys.stderr.write",
}
WITHOUT_DATA = {
    "click.echo(ctx.get_help(), err=True)",
    "click.prompt('password', hide_input=True, confirmation_prompt='once more', err=True)",
    "click.prompt(\"Type the schema's name to go on\", default='', show_default=False, err=True)",
}


def test_what_commands_log_is_one_line_a_record_and_its_traceback_below() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(output.OneLineFormatter("%(levelname)s %(message)s"))
    try:
        raise LookupError(NASTY)
    except LookupError as error:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed: %s", (error,), (type(error), error, None))

    handler.emit(record)

    first, *below = stream.getvalue().splitlines()
    assert first.startswith("ERROR failed: ") and first.endswith(" FORGED")
    assert below[0].startswith("LookupError: ")
    assert steering(stream.getvalue()) == set()


COMMANDS = (
    ("workflow", "list"),
    ("workflow", "show", "{id}"),
    ("workflow", "show", "{id}", "--step", NASTY),
    ("workflow", "show", "{id}", "--step", "no " + NASTY),
    ("workflow", "explain", "{id}"),
    ("workflow", "explain", "{id}", NASTY),
    ("workflow", "explain", "{id}", "no " + NASTY),
    ("workflow", "graph", "{id}"),
    ("workflow", "graph", "{id}", "--format", "dot"),
    ("workflow", "graph", "{id}", "--svg", "-"),
    ("workflow", "show", "{id}", "--json"),
    ("workflow", "hold", "{id}", NASTY, "--for", "1h", "--reason", NASTY, "--actor", NASTY),
    ("workflow", "recover", "{id}", NASTY, "--action", "skip", "--reason", NASTY, "--actor", NASTY),
    ("workflow", "recover", "{id}", NASTY, "--action", "retry", "--reason", NASTY, "--actor", NASTY),
    ("workflow", "cancel", NASTY, "--reason", NASTY),
    ("workflow", "cancel", "{id}", "--yes", "--reason", NASTY, "--actor", NASTY),
    ("signal", NASTY, "--key", NASTY, "--payload", NASTY),
    ("repair", "preview", NASTY, NASTY),
    ("repair", "execute", NASTY, "--reason", NASTY),
    (NASTY,),
    ("workflow", "list", "--" + NASTY),
    ("audit", "list"),
)


async def test_no_command_lets_a_name_or_an_argument_steer_a_terminal(hand: Hand) -> None:
    workflow_id = await hand.insert(_nasty())

    shown = {words: _shown(hand.dsn, *(word.format(id=workflow_id) for word in words)) for words in COMMANDS}

    assert {words: text for words, text in shown.items() if steering(text) or "\nFORGED" in text} == {}


def _shown(dsn: str, *words: str) -> str:
    with on_a_terminal(*words, dsn=dsn, columns=200, NO_COLOR="1") as terminal:
        terminal.end()
    return terminal.shown


async def test_json_on_a_pipe_is_what_the_database_holds(hand: Hand) -> None:
    workflow_id = await hand.insert(_nasty())

    shown = powertools("workflow", "show", str(workflow_id), "--json", dsn=hand.dsn)

    assert shown.json["workflow"]["name"] == NASTY


def _nasty() -> Workflow:
    workflow = Workflow(NASTY, tags=[NASTY])
    workflow.add(NASTY, step())
    return workflow
