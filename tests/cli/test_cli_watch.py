"""``watch``: one screen of incidents, executors and queues, which leaves the terminal as it was however it ends."""

import asyncio
import signal

import pytest

from tests.support.by_hand import Hand, chain
from tests.support.command import Terminal, on_a_terminal, powertools
from tests.support.tcp_proxy import TcpProxy
from tests.support.troubles import TROUBLES, project

FIRST, LAST = "\x1b[?1049h", "\x1b[?1049l"
HOME = "\x1b[H"


async def trouble(hand: Hand) -> None:
    await hand.insert(chain(1))
    await TROUBLES["executor_missing"].happen(hand)
    await project(hand, **TROUBLES["executor_missing"].settings)


def screens(terminal: Terminal) -> list[list[str]]:
    """The screens painted so far, without the codes of the terminal; all but the last are whole."""
    return [screen.split("\x1b[K\n") for screen in terminal.shown.split(HOME)[1:]]


def restored(terminal: Terminal) -> bool:
    return terminal.shown.count(FIRST) == terminal.shown.count(LAST) == 1 and "\x1b[?25h" in terminal.shown


async def test_without_a_terminal_it_prints_once_and_ends(hand: Hand) -> None:
    await trouble(hand)

    ended = await asyncio.to_thread(powertools, "watch", dsn=hand.dsn)

    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert [noun for noun in ("1 incident", "1 executor", "1 queue") if noun not in ended.out] == []


async def test_in_json_it_looks_once(hand: Hand) -> None:
    await trouble(hand)

    ended = await asyncio.to_thread(powertools, "watch", "--json", dsn=hand.dsn)

    assert (ended.code, [*ended.json]) == (0, ["schema_version", "incidents", "executors", "queues"])


async def test_it_is_painted_again_and_ctrl_c_restores_the_terminal(hand: Hand) -> None:
    await trouble(hand)

    def look() -> tuple[int, Terminal]:
        with on_a_terminal("watch", "--every", "1s", dsn=hand.dsn) as terminal:
            while len(screens(terminal)) < 3:
                assert terminal._read(), terminal.shown
            return terminal.interrupt(), terminal

    code, terminal = await asyncio.to_thread(look)

    assert (code, restored(terminal)) == (130, True)
    assert "Traceback" not in terminal.shown


async def test_sigterm_restores_the_terminal_too(hand: Hand) -> None:
    def look() -> tuple[int, Terminal]:
        with on_a_terminal("watch", dsn=hand.dsn) as terminal:
            terminal.read_until("0 queues")
            terminal._process.send_signal(signal.SIGTERM)
            return terminal.end(), terminal

    code, terminal = await asyncio.to_thread(look)

    assert (code, restored(terminal)) == (0, True)


@pytest.mark.parametrize("columns", [80, 40])
async def test_a_screen_fits_into_the_terminal_whatever_there_is(hand: Hand, columns: int) -> None:
    await trouble(hand)
    await hand.rows(
        "INSERT INTO oban_jobs (queue, worker) SELECT 'queue_with_a_rather_long_name_' || n, 'app.W'"
        " FROM generate_series(1, 40) AS n"
    )

    def look() -> Terminal:
        with on_a_terminal("watch", dsn=hand.dsn, columns=columns) as terminal:
            terminal.read_until("not shown")
            terminal.read_until("\x1b[J")
            terminal.interrupt()
            return terminal

    screen = screens(await asyncio.to_thread(look))[0]

    assert len(screen) <= 24
    assert "1 incident" in screen[2]


async def test_a_lost_connection_is_told_and_survived(hand: Hand) -> None:
    await trouble(hand)
    proxy = TcpProxy(hand.dsn)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    dsn = f"postgresql://postgres@{host}:{port}{proxy._path}"
    with on_a_terminal("watch", "--every", "1s", dsn=dsn) as terminal:
        await asyncio.to_thread(terminal.read_until, "1 incident")
        server.close()
        proxy.cut()
        await asyncio.to_thread(terminal.read_until, "connection lost since")
        told = terminal.shown.count("connection lost since")
        server = await asyncio.start_server(proxy._serve, host, port)
        await asyncio.to_thread(until_found_again, terminal)
        code = await asyncio.to_thread(terminal.interrupt)
    server.close()
    proxy.cut()

    assert (code, restored(terminal), told) == (130, True, 1)


def until_found_again(terminal: Terminal) -> None:
    """Until a whole screen was painted without the line of a lost connection."""
    seen = len(screens(terminal))
    while all("connection lost" in screen[1] for screen in screens(terminal)[seen - 1 : -1]):
        assert terminal._read(), terminal.shown


async def test_an_interval_below_a_second_is_refused(hand: Hand) -> None:
    ended = await asyncio.to_thread(powertools, "watch", "--every", "0s", dsn=hand.dsn)

    assert ended.code == 2
