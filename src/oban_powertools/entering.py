"""Asynchronous context managers that say how they are entered, to whoever awaits one instead. No I/O."""

import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import NoReturn


def entered[**Args, Value](
    hint: str,
) -> Callable[[Callable[Args, AsyncGenerator[Value]]], Callable[Args, AbstractAsyncContextManager[Value]]]:
    """As ``asynccontextmanager``; awaiting what it makes raises a ``TypeError`` with the hint."""

    def decorate(function: Callable[Args, AsyncGenerator[Value]]) -> Callable[Args, AbstractAsyncContextManager[Value]]:
        make = asynccontextmanager(function)

        @functools.wraps(function)
        def making(*args: Args.args, **named: Args.kwargs) -> AbstractAsyncContextManager[Value]:
            return _Entered(make(*args, **named), hint)

        return making

    return decorate


class _Entered[Value](AbstractAsyncContextManager[Value]):
    def __init__(self, context: AbstractAsyncContextManager[Value], hint: str) -> None:
        self._context = context
        self.hint = hint

    async def __aenter__(self) -> Value:
        return await self._context.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._context.__aexit__(kind, error, trace)


def _refuse(entering: _Entered[object]) -> NoReturn:
    raise TypeError(entering.hint)


# Not declared in the class, so that type checkers refuse to await one, too.
setattr(_Entered, "__await__", _refuse)  # noqa: B010
