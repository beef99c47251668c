"""``web``: serve the console alone, on loopback unless it is told how to know whom it answers.

The rule that must never break: without authentication nobody on another machine reaches it.
"""

import asyncio
import dataclasses
import functools
import logging
import re
import socket
import sys
import time
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource
from psycopg.conninfo import conninfo_to_dict

from ..database import check_dsn
from ..errors import ExtraMissingError
from ..operators.authorization import Authorize
from ..privacy.logs import Redacting
from .exits import Exit
from .groups import examples
from .listening import address_of, listen
from .output import OneLineFormatter, say
from .start_command import LOG_LEVELS
from .target import Database, on_database
from .values import authorize_option, this_user

PORT: Final = 8787

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")

type _Network = IPv4Network | IPv6Network


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How it is known who is at the browser."""

    auth_file: Path | None
    proxies: tuple[_Network, ...]
    user_header: str | None


def _parse_databases(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Name -> DSN; the DSN may hold a password, so no error shows it."""
    databases: dict[str, str] = {}
    for value in values:
        name, _, dsn = value.partition("=")
        if not _NAME.fullmatch(name) or name in ("healthz", "static") or not dsn:
            raise click.BadParameter("expected NAME=DSN, with a name such as shop-eu", ctx, param)
        if name in databases:
            raise click.BadParameter(f"{name} is named twice", ctx, param)
        databases[name] = check_dsn(dsn)
    return databases


def _parse_networks(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[_Network, ...]:
    try:
        return tuple(map(ip_network, values))
    except ValueError as error:
        raise click.BadParameter(f"{error}; expected an address or a network, such as 10.0.0.7", ctx, param) from None


@click.command(
    epilog=examples(
        "powertools web",
        "powertools web --read-only --environment Production",
        "powertools web --database shop=postgresql://localhost/shop --database billing=service=billing",
        "powertools web --host 0.0.0.0 --allowed-host ops.example --auth-file operators.passwords",
        "powertools web --host 10.0.0.5 --trusted-proxy 10.0.0.7 --user-header X-Forwarded-User",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option(
    "--database",
    "databases",
    multiple=True,
    callback=_parse_databases,
    metavar="NAME=DSN",
    help="This database, under /NAME/. May be repeated; instead of --dsn.",
)
@click.option(
    "--auth-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Answer only who is in this file, which powertools password writes.",
)
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    callback=_parse_networks,
    metavar="ADDRESS",
    help="Answer only this proxy, which names the user. May be repeated.",
)
@click.option("--user-header", metavar="NAME", help="The header in which the proxy names the user.")
@click.option(
    "--allowed-host", "hosts", multiple=True, metavar="NAME", help="A name by which browsers call it. May be repeated."
)
@click.option("--root-path", default="", metavar="PATH", help="The path that a proxy takes away, such as /ops.")
@click.option("--read-only", is_flag=True, help="Let nobody change anything here.")
@click.option("--name", help="Of this installation, in the top bar.  [default: the database's]")
@click.option("--environment", metavar="WORD", help="Beside the name, such as Production.")
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="To stderr; info has a line for each request.",
)
@authorize_option
@on_database
def web(
    target: Database,
    *,
    host: str,
    port: int,
    databases: dict[str, str],
    auth_file: Path | None,
    proxies: tuple[_Network, ...],
    user_header: str | None,
    hosts: tuple[str, ...],
    root_path: str,
    log_level: str,
    authorize: Authorize,
    **shell: Any,
) -> int:
    """Serve the console, until a signal says stop.

    Whoever reaches it acts as you, as with the other commands, so it listens on this machine alone. For others it needs
    --auth-file, or --trusted-proxy with --user-header. Needs the extra web.
    """
    way = _Way(auth_file=auth_file, proxies=proxies, user_header=user_header)
    _check(host, databases, way, root_path)
    _log(log_level)
    targets = _targets(target, databases, shell.pop("name"))
    for each in targets.values():
        each.find_dsn()
    with listen(host, port) as listening:
        names = (*hosts, *_LOOPBACK_NAMES, host, socket.gethostname())
        asyncio.run(_serve(targets, authorize, way, listening, hosts=names, root_path=root_path, **shell))
    return Exit.DONE


async def _serve(
    targets: Mapping[str, Database],
    authorize: Authorize,
    way: _Way,
    listening: socket.socket,
    *,
    hosts: tuple[str, ...],
    root_path: str,
    **shell: Any,
) -> None:
    try:
        from ..web.alone.passwords import PasswordFile
        from ..web.alone.people import WithPassword, always, named_by_proxy
        from ..web.alone.server import serve
        from ..web.alone.standalone import Site, Standalone
    except ModuleNotFoundError as error:
        raise ExtraMissingError("web", error.name or "") from error
    if way.auth_file is not None:
        actor = WithPassword(PasswordFile(way.auth_file), time.monotonic)
    elif way.user_header is not None:
        actor = named_by_proxy(way.proxies, way.user_header)
    else:
        actor = always(this_user())
    openings = {name: functools.partial(target.following, authorize) for name, target in targets.items()}
    standalone = Standalone(openings, Site(actor=actor, hosts=hosts, root_path=root_path, **shell))
    try:
        await serve(standalone.app, listening, root_path=root_path, told=lambda: say(f"{address_of(listening)}/"))
    finally:
        await standalone.aclose()


def _check(host: str, databases: Mapping[str, str], way: _Way, root_path: str) -> None:
    if bool(way.proxies) != (way.user_header is not None):
        raise click.UsageError("--trusted-proxy and --user-header belong together: give both, or neither")
    if way.auth_file is not None and way.proxies:
        raise click.UsageError("--auth-file and --trusted-proxy are two ways to know who it is: give one of them")
    if way.auth_file is None and not way.proxies and not _is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached from other machines, and nobody would be asked who they are: pass --auth-file, or "
            "--trusted-proxy with --user-header; or listen on 127.0.0.1"
        )
    if root_path and (not root_path.startswith("/") or root_path.endswith("/")):
        raise click.UsageError("--root-path is a path such as /ops, without a slash at its end")
    context = click.get_current_context()
    sources = [
        name for name in ("dsn", "data_directory") if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if databases and sources:
        raise click.UsageError("--database names the databases: leave --dsn and --data-directory away")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _targets(target: Database, databases: Mapping[str, str], name: str | None) -> dict[str, Database]:
    """Name -> database; the name stands in the top bar, and in the address where there are several."""
    if not databases:
        return {name or _name_of(target.find_dsn()): target}
    if name is not None:
        raise click.UsageError("--database names the consoles: leave --name away")
    return {
        each: dataclasses.replace(target, config=dataclasses.replace(target.config, dsn=dsn), data_directory=None)
        for each, dsn in databases.items()
    }


def _name_of(dsn: str) -> str:
    return str(conninfo_to_dict(dsn).get("dbname") or "Powertools")


def _log(level: str) -> None:
    logging.basicConfig(level=level.upper(), stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.addFilter(Redacting())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
