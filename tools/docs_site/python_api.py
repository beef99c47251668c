"""Writes a page of docstrings for each public module; Sphinx reads the docstrings themselves.

Which modules and names are public is read from the table in ``docs/reference/api.md``, which a test compares with the
code. Each thing is described once: on the page of the module that it comes from, under the name that programs import.
"""

import enum
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
ROW: Final = re.compile(r"^\| `(oban_powertools[\w.]*)` \| (.*) \|$", re.MULTILINE)
ROOM: Final = "oban_powertools"


def write(directory: Path) -> None:
    """Write the pages, and ``index.rst`` that lists them."""
    directory.mkdir(parents=True)
    homes = find_homes()
    modules = sorted(set(homes.values()), key=lambda module: (module != ROOM, module))
    for module in modules:
        own = [name for name, home in homes.items() if home == module]
        (directory / f"{module}.rst").write_text(_page(module, own, homes))
    (directory / "index.rst").write_text(_index(modules))


def find_homes() -> dict[str, str]:
    """Each public name, as a program imports it -> the module whose page describes it; in the order of the names."""
    tables = {module: re.findall(r"`(\w+)`", names) for module, names in ROW.findall(TABLE.read_text())}
    seen: dict[int, str] = {}
    homes: dict[str, str] = {}
    for module, names in tables.items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if id(value) not in seen:
                seen[id(value)] = f"{module}.{name}"
                homes[f"{module}.{name}"] = _home(value, name, tables)
    return dict(sorted(homes.items(), key=lambda item: item[0].rpartition(".")[2].lower()))


def _home(value: Any, name: str, tables: dict[str, list[str]]) -> str:
    """The module that lists the name and has the value; else the first that lists it, ``oban_powertools`` last."""
    origin: str = getattr(value, "__module__", "")
    listing = sorted((module for module, names in tables.items() if name in names), key=lambda module: module == ROOM)
    return next((module for module in listing if f"{origin}.".startswith(f"{module}.") and module != ROOM), listing[0])


def _page(module: str, names: list[str], homes: dict[str, str]) -> str:
    title = f"``{module}``"
    lines = [title, "=" * len(title), "", f".. automodule:: {module}", "   :no-members:", ""]
    lines += [line for name in names for line in _entry(name)]
    if module == ROOM:
        elsewhere = [name for name, home in homes.items() if home != ROOM and name.startswith(f"{ROOM}.")]
        others = [name for name in elsewhere if name.count(".") == 1]
        lines += ["Described on other pages", "-" * 24, ""]
        lines += [f"- :py:obj:`{name.removeprefix(f'{ROOM}.')} <{name}>`, on :doc:`{homes[name]}`" for name in others]
    return "\n".join([*lines, ""])


def _entry(name: str) -> list[str]:
    short = name.rpartition(".")[2]
    value = getattr(importlib.import_module(name.rpartition(".")[0]), short)
    return [short, "-" * len(short), "", *_directive(name, value), ""]


def _directive(name: str, value: Any) -> list[str]:
    if inspect.isclass(value):
        options = ["   :members:"]
        if issubclass(value, enum.Enum):
            options += ["   :undoc-members:"]
        return [f".. autoclass:: {name}", *options]
    if inspect.isroutine(value):
        return [f".. autofunction:: {name}"]
    return [f".. autodata:: {name}", "   :no-value:"]


def _index(modules: list[str]) -> str:
    title = "Docstrings"
    about = (
        "The docstring of every public class, function and constant, by the module that it belongs to. "
        "For tables by topic, see :doc:`../api`."
    )
    listed = [f"- :doc:`{module} <{module}>`" for module in modules]
    tree = [".. toctree::", "   :hidden:", "", *(f"   {module} <{module}>" for module in modules)]
    return "\n".join([title, "=" * len(title), "", about, "", *listed, "", *tree, ""])
