"""Import the user's modules as ``python -m`` would: the current directory comes first.

The rule that must never break: nothing is imported that the person at the command line did not name.
"""

import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from ..config import Settings
from ..errors import InvalidSettingError
from ..operators.authorization import Authorize
from ..privacy.display import DisplayPolicy
from ..privacy.logs import format_error
from .exits import Exit, StoppedError


def import_from_here() -> None:
    """Make the modules of the current directory importable."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def import_modules(modules: Sequence[str]) -> None:
    """Import each of them.

    Raises:
        StoppedError: One is a file or cannot be imported; says which, why, and where the fault is.
    """
    for module in modules:
        if module.endswith(".py"):
            name = ".".join(Path(module.removesuffix(".py")).parts)
            raise StoppedError(f"{module!r} is a file: name the module, {name}", Exit.USAGE)
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = "" if "importlib" in frame.filename else f" ({frame.filename}:{frame.lineno})"
            reason = f"{type(error).__name__}: {format_error(error)}"
            raise StoppedError(f"cannot import {module!r}: {reason}{place}", Exit.USAGE) from error


def find_authorize(ctx: click.Context, param: click.Parameter, value: str | None) -> Authorize | None:
    """The host's policy ``module:name`` of an option; None without one.

    Raises:
        BadParameter: It is no ``module:name`` of something that can be called.
        StoppedError: The module cannot be imported.
    """
    if value is None or ctx.resilient_parsing:  # completing imports nothing
        return None
    try:
        return _import_authorize(value, "it")
    except InvalidSettingError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def configured_authorize(table: Mapping[str, Any], file: str) -> Authorize:
    """The host's policy from the settings file; without one, a policy that allows everything.

    Anybody with the DSN can write to the database anyway, so this grants nothing new; every act is audited with its
    actor and ``cli`` as its surface.

    Args:
        table: As ``check_table`` let it through.

    Raises:
        InvalidSettingError: It is no ``module:name`` of something that can be called.
        StoppedError: The module cannot be imported.
    """
    if "authorize" not in table:
        return _whoever_has_the_dsn_may
    return _import_authorize(table["authorize"], f"authorize of [powertools] in {file}")


def find_display(ctx: click.Context, param: click.Parameter, value: str | None) -> DisplayPolicy | None:
    """The host's display policy ``module:name`` of an option, an instance or a subclass; None without one.

    Raises:
        BadParameter: It is no ``module:name`` of a display policy.
        StoppedError: The module cannot be imported.
    """
    if value is None or ctx.resilient_parsing:  # completing imports nothing
        return None
    try:
        return _import_display(value, "it")
    except InvalidSettingError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def configured_display(table: Mapping[str, Any], file: str) -> DisplayPolicy:
    """The host's display policy from the settings file; without one, the default.

    Args:
        table: As ``check_table`` let it through.

    Raises:
        InvalidSettingError: It is no ``module:name`` of a display policy.
        StoppedError: The module cannot be imported.
    """
    if "display" not in table:
        return DisplayPolicy()
    return _import_display(table["display"], f"display of [powertools] in {file}")


def check_table(table: Any, file: str) -> dict[str, Any]:
    """Check our table of the settings file.

    Raises:
        InvalidSettingError: It is no table, or has a key that nobody reads.
    """
    place = f"[powertools] in {file}"
    if not isinstance(table, dict):
        raise InvalidSettingError(place, repr(table), "a table")
    entries = cast("dict[str, Any]", table)
    if unknown := entries.keys() - {"authorize", "display"}:
        raise InvalidSettingError(place, f"{min(unknown)} = ...", "only authorize and display")
    return entries


def find_settings(ctx: click.Context, param: click.Parameter, value: str | None) -> Settings:
    """The host's settings ``module:name``; without them the defaults.

    Raises:
        BadParameter: It is no ``module:name`` of ``Settings``.
        StoppedError: The module cannot be imported.
    """
    if value is None or ctx.resilient_parsing:  # completing imports nothing
        return Settings()
    try:
        _, imported = _import_named(value, "it", "myapp.workers:settings")
    except InvalidSettingError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if not isinstance(imported, Settings):
        raise click.BadParameter(f"{value!r} is no oban_powertools.Settings", ctx, param)
    return imported


def _import_authorize(value: Any, setting: str) -> Authorize:
    module, imported = _import_named(value, setting, "myapp.operators:authorize")
    if not callable(imported):
        raise InvalidSettingError(
            setting, repr(value), f"the name of a function of the module {module} after the colon"
        )
    return cast("Authorize", imported)


def _import_display(value: Any, setting: str) -> DisplayPolicy:
    module, imported = _import_named(value, setting, "myapp.operators:DISPLAY")
    if isinstance(imported, type) and issubclass(imported, DisplayPolicy):
        return imported()
    if not isinstance(imported, DisplayPolicy):
        raise InvalidSettingError(
            setting, repr(value), f"the name of a DisplayPolicy of the module {module} after the colon"
        )
    return imported


def _import_named(value: Any, setting: str, example: str) -> tuple[str, Any]:
    module, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not module or not name:
        raise InvalidSettingError(setting, repr(value), f"MODULE:NAME, as in {example}")
    import_from_here()
    import_modules([module])
    return module, getattr(importlib.import_module(module), name, None)


def asks_nobody(authorize: Authorize) -> bool:
    """Whether no policy of the host decides, so that whoever has the DSN may do everything."""
    return authorize is _whoever_has_the_dsn_may


def _whoever_has_the_dsn_may(*_: object) -> bool:
    return True


def _prepare(_: click.Context, __: click.Parameter, asked: bool) -> bool:
    if asked:
        import_from_here()
    return asked


check_import_option: Final = click.option(
    "--check-import",
    is_flag=True,
    callback=_prepare,
    help="Import its worker in this process too, which runs the code that the job's row names.",
)
"""For explanations that may try the import that an executor would do."""
