"""``powertools web``: the console as a program of its own, asked over HTTP."""

import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from oban_powertools.cli.exits import Exit
from oban_powertools.cli.values import this_user
from tests.support.command import powertools
from tests.support.web_process import web_process

PASSWORD = "correct horse battery"
REFUSED = "can be reached from other machines, and nobody would be asked who they are: pass --auth-file, or "


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """A password file with Ada in it."""
    file = tmp_path / "operators.passwords"
    assert set_password(file, "ada", PASSWORD).code == Exit.DONE
    return file


def set_password(file: Path, name: str, password: str):
    return powertools("password", str(file), name, stdin=f"{password}\n")


# Serving


def test_it_prints_its_address_and_serves_the_console(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path) as web:
        answer = web.get()

    assert web.address.startswith("http://127.0.0.1:")
    assert answer.status_code == 200
    assert "Overview" in answer.text


def test_without_authentication_the_actor_is_the_user_of_this_machine(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path) as web:
        answer = web.get()

    assert f'title="{this_user()}"' in answer.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(shared_dsn: str, tmp_path: Path, number: signal.Signals) -> None:
    with web_process(shared_dsn, tmp_path) as web:
        web.get()
        code, _ = web.stop(number)

    assert code == Exit.DONE
    assert "Traceback" not in web.log


def test_a_request_is_a_line_of_the_log_without_what_was_searched_for(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path) as web:
        answer = web.get("/incidents?q=velvet")
        web.stop()

    [line] = [line for line in web.log.splitlines() if "GET /incidents" in line]
    assert line.endswith(answer.headers["x-request-id"])
    assert "velvet" not in web.log


def test_a_port_that_is_taken_is_an_error_with_a_sentence(shared_dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = powertools("web", "--port", str(taken.getsockname()[1]), dsn=shared_dsn)

    assert ended.code == Exit.FAILED
    assert ended.error.startswith("cannot listen on 127.0.0.1:")


def test_a_database_that_is_away_is_a_page(tmp_path: Path) -> None:
    with web_process("postgresql://nobody@127.0.0.1:1/nothing", tmp_path) as web:
        answer, health = web.get(), web.get("/healthz")

    assert answer.status_code == 503
    assert "database" in answer.text
    assert health.status_code == 200


def test_a_read_only_console_refuses_every_change(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path, "--read-only", "--environment", "Production") as web:
        page, refused = web.get(), web.post("/incidents/1/acknowledge")

    assert "This console is read-only" in page.text
    assert "Production" in page.text
    assert refused.status_code in (403, 404)


# Who may reach it


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_of_other_machines_needs_authentication(shared_dsn: str, host: str) -> None:
    ended = powertools("web", "--host", host, dsn=shared_dsn)

    assert ended.code == Exit.USAGE
    assert ended.error.startswith(f"{host} {REFUSED}")


def test_a_name_that_is_not_its_own_is_refused(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path, "--allowed-host", "ops.example") as web:
        rebound = web.get(headers={"Host": "attacker.example"})
        allowed = web.get(headers={"Host": "ops.example"})

    assert (rebound.status_code, allowed.status_code) == (421, 200)


def test_a_user_of_the_password_file_gets_in_with_their_own_password(
    shared_dsn: str, tmp_path: Path, passwords: Path
) -> None:
    with web_process(shared_dsn, tmp_path, "--host", "0.0.0.0", "--auth-file", str(passwords)) as web:
        address = web.address.replace("0.0.0.0", "127.0.0.1")
        answers = {
            who: httpx.get(f"{address}/", auth=auth)
            for who, auth in {
                "ada": ("ada", PASSWORD),
                "wrong": ("ada", "wrong horse battery"),
                "unknown": ("bob", PASSWORD),
                "nobody": None,
            }.items()
        }

    assert {who: answer.status_code for who, answer in answers.items()} == {
        "ada": 200,
        "wrong": 401,
        "unknown": 401,
        "nobody": 401,
    }
    assert 'title="ada"' in answers["ada"].text
    assert answers["nobody"].headers["www-authenticate"] == 'Basic realm="Powertools", charset="UTF-8"'
    assert "Overview" not in answers["nobody"].text


def test_guessing_is_slowed_down_and_the_right_password_waits_too(
    shared_dsn: str, tmp_path: Path, passwords: Path
) -> None:
    with web_process(shared_dsn, tmp_path, "--auth-file", str(passwords)) as web:
        codes = [web.get(auth=("ada", f"wrong password {number}")).status_code for number in range(12)]
        late = web.get(auth=("ada", PASSWORD))

    assert codes == [401] * 10 + [429] * 2
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 60


def test_a_password_that_was_right_is_not_hashed_again(shared_dsn: str, tmp_path: Path, passwords: Path) -> None:
    with web_process(shared_dsn, tmp_path, "--auth-file", str(passwords)) as web:
        web.get(auth=("ada", PASSWORD))
        for number in range(10):
            web.get(auth=("ada", f"wrong password {number}"))
        known = web.get(auth=("ada", PASSWORD))

    assert known.status_code == 200


def test_another_password_counts_at_once_and_the_old_one_no_more(
    shared_dsn: str, tmp_path: Path, passwords: Path
) -> None:
    with web_process(shared_dsn, tmp_path, "--auth-file", str(passwords)) as web:
        web.get(auth=("ada", PASSWORD))
        set_password(passwords, "ada", "another horse battery")
        new, old = web.get(auth=("ada", "another horse battery")), web.get(auth=("ada", PASSWORD))

    assert (new.status_code, old.status_code) == (200, 401)


def test_a_file_that_others_may_write_is_refused(shared_dsn: str, passwords: Path) -> None:
    passwords.chmod(0o666)

    ended = powertools("web", "--port", "0", "--auth-file", str(passwords), dsn=shared_dsn)

    assert ended.code == Exit.USAGE
    assert "a file that others may write" in ended.error


@pytest.mark.parametrize("name", ["", " ada", "a:b", "system", "#ada", "a\tb"])
def test_a_name_that_the_audit_could_not_tell_is_refused(tmp_path: Path, name: str) -> None:
    ended = set_password(tmp_path / "file", name, PASSWORD)

    assert ended.code == Exit.USAGE
    assert not (tmp_path / "file").exists()


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    ended = set_password(tmp_path / "file", "ada", "horse")

    assert ended.error == "the password is 5 characters long; expected 12 or more"


def test_the_password_file_holds_no_password_and_is_its_owners(passwords: Path) -> None:
    assert PASSWORD not in passwords.read_text()
    assert passwords.stat().st_mode & 0o077 == 0


def test_the_proxy_names_the_user(shared_dsn: str, tmp_path: Path) -> None:
    proxy = ("--trusted-proxy", "127.0.0.1", "--user-header", "X-Forwarded-User")
    with web_process(shared_dsn, tmp_path, *proxy) as web:
        ada = web.get(headers={"X-Forwarded-User": "ada"})
        nobody = web.get()
        two = web.get(headers=[("X-Forwarded-User", "mallory"), ("X-Forwarded-User", "ada")])

    assert 'title="ada"' in ada.text
    assert (ada.status_code, nobody.status_code, two.status_code) == (200, 401, 401)


def test_who_does_not_come_from_the_proxy_is_not_answered(shared_dsn: str, tmp_path: Path) -> None:
    proxy = ("--trusted-proxy", "192.0.2.7", "--user-header", "X-Forwarded-User")
    with web_process(shared_dsn, tmp_path, *proxy) as web:
        forged = web.get(headers={"X-Forwarded-User": "ada", "X-Forwarded-For": "192.0.2.7"})

    assert forged.status_code == 403
    assert "This console is reached through its proxy only." in forged.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--user-header", "X-User"), "--trusted-proxy and --user-header belong together: give both, or neither"),
        (("--trusted-proxy", "here", "--user-header", "X-User"), "expected an address or a network"),
        (("--root-path", "ops"), "--root-path is a path such as /ops, without a slash at its end"),
        (("--database", "a/b=postgresql:///x"), "expected NAME=DSN, with a name such as shop-eu"),
        (("--database", "a=postgresql:///x", "--dsn", "postgresql:///y"), "--database names the databases"),
        (("--database", "a=postgresql:///x", "--name", "shop"), "--database names the consoles"),
    ],
)
def test_options_that_do_not_fit_are_refused(shared_dsn: str, arguments: tuple[str, ...], sentence: str) -> None:
    ended = powertools("web", *arguments, dsn=shared_dsn)

    assert ended.code == Exit.USAGE
    assert sentence in ended.error


# Several databases


def test_several_databases_are_each_under_their_name_with_a_switcher(dsn: str, shared_dsn: str, tmp_path: Path) -> None:
    both = ("--database", f"shop={shared_dsn}", "--database", f"billing={dsn}")
    with web_process(None, tmp_path, *both) as web:
        first, shop, billing = web.get(), web.get("/shop/"), web.get("/billing/")
        other, health = web.get("/other/"), web.get("/healthz")

    assert (first.status_code, first.headers["location"]) == (303, "/shop/")
    assert (shop.status_code, billing.status_code) == (200, 200)
    assert 'href="/billing/"' in shop.text
    assert 'href="/shop/"' in billing.text
    assert 'href="/shop/"' not in shop.text.replace('href="/shop/"', "", 2)
    assert (other.status_code, health.status_code) == (404, 200)
    assert "default-src 'none'" in other.headers["content-security-policy"]


# Its end


def test_a_page_whose_query_hangs_is_given_up_and_its_query_ended(dsn: str, tmp_path: Path) -> None:
    with (
        psycopg.connect(dsn) as blocking,
        psycopg.connect(dsn, autocommit=True) as looking,
        web_process(dsn, tmp_path) as web,
    ):
        assert web.get().status_code == 200
        blocking.execute("LOCK TABLE powertools.incidents IN ACCESS EXCLUSIVE MODE")
        answer = web.get()
        waiting = looking.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND application_name LIKE '%powertools%'"
        ).fetchone()

    assert answer.elapsed.total_seconds() < 6
    assert "takes too long" in answer.text
    assert waiting == (0,)


def test_it_ends_within_five_seconds_with_open_streams(shared_dsn: str, tmp_path: Path) -> None:
    with web_process(shared_dsn, tmp_path) as web:
        opened = threading.Barrier(4)

        def follow() -> None:
            with httpx.stream("GET", f"{web.address}/stream?topics=incident%3Aall", timeout=30) as stream:
                assert stream.status_code == 200
                opened.wait(20)
                with suppress(httpx.RemoteProtocolError):  # however it ends, a browser comes back
                    list(stream.iter_raw())

        readers = [threading.Thread(target=follow, daemon=True) for _ in range(3)]
        for reader in readers:
            reader.start()
        opened.wait(20)
        code, seconds = web.stop()

    assert code == Exit.DONE
    assert seconds < 5
