"""What a user's code may name: it can be imported, is documented where it is imported from, and means one thing."""

import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NewType, TypeAliasType, get_args, get_origin, get_type_hints

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "api.md").read_text()
TABLE = {
    module: re.findall(r"`(\w+)`", names)
    for module, names in re.findall(r"^\| `(oban_powertools[\w.]*)` \| (.*) \|$", PAGE, re.MULTILINE)
}
MODULES = {name: importlib.import_module(name) for name in TABLE}
PROTOCOLS = ("__init__", "__call__", "__aenter__", "__aiter__", "__anext__")


def _public() -> Iterator[tuple[str, str, Any]]:
    for module, loaded in MODULES.items():
        for name in loaded.__all__:
            yield module, name, getattr(loaded, name)


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES.keys())
def test_the_reference_lists_what_a_module_offers_and_nothing_else(module: ModuleType) -> None:
    assert sorted(TABLE[module.__name__]) == sorted(module.__all__)


def test_every_door_and_room_with_public_names_is_listed() -> None:
    """Or else is used by Powertools itself, such as ``database``."""
    internal = {"cli", "database", "database.oban", "lifeline.incidents", "lifeline.repairs", "operators.audit"}
    internal |= {"operators.authorization", "upkeep.retention", "web.api"}
    declared = {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"^__all__\b", path.read_text(), re.MULTILINE)
    }

    assert declared - {f"oban_powertools.{name}" for name in internal} == set(MODULES)


def test_every_type_that_a_public_signature_names_can_be_imported() -> None:
    importable = {id(value) for _, _, value in _public()}
    hidden: dict[str, str] = {}
    seen: set[int] = set()
    ahead = [(value, f"{module}.{name}") for module, name, value in _public()]
    while ahead:
        value, where = ahead.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) not in importable:
            hidden[f"{value.__module__}.{value.__name__}"] = where
        ahead += [(part, f"{where}.{name}") for name, kind in _annotations(value) for part in _ours_in(kind)]

    assert hidden == {}


def test_no_two_public_things_share_a_name() -> None:
    meanings: dict[str, set[int]] = defaultdict(set)
    for _, name, value in _public():
        meanings[name].add(id(value))

    assert [name for name, found in meanings.items() if len(found) > 1] == []


def _annotations(value: Any) -> Iterator[tuple[str, Any]]:
    """The name of each field, parameter and result that a caller sees, with its annotation."""
    if isinstance(value, TypeAliasType):
        yield "", value.__value__
    elif inspect.isclass(value):
        yield from ((name, kind) for name, kind in get_type_hints(value).items() if not name.startswith("_"))
        for name, member in inspect.getmembers(value):
            if name in PROTOCOLS or not name.startswith("_"):
                yield from ((f"{name}.{of}", kind) for of, kind in _hints(member))
    else:
        yield from _hints(value)


def _hints(value: Any) -> Iterator[tuple[str, Any]]:
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    if inspect.isfunction(function) and _is_ours(function):
        yield from get_type_hints(function).items()


def _ours_in(kind: Any) -> Iterator[Any]:
    if isinstance(kind, list):
        parts: tuple[Any, ...] = tuple(kind)
    elif isinstance(kind, TypeAliasType | NewType) or get_origin(kind) is None:
        parts = ()
        if _is_ours(kind):
            yield kind
    else:
        parts = (get_origin(kind), *get_args(kind))
    for part in parts:
        yield from _ours_in(part)


def _is_ours(value: Any) -> bool:
    return getattr(value, "__module__", "").split(".")[0] == "oban_powertools"
