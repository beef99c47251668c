"""Tasks of Django's framework, of which the tests know how each ends."""

from typing import Any

from django.contrib.auth.models import User
from django.tasks import TaskContext, task


@task()
def add(a: int, b: int) -> dict[str, int]:
    """A plain one."""
    return {"sum": a + b}


@task(priority=100, queue_name="mail", takes_context=True)
async def greet(context: TaskContext, name: str) -> str:
    """An async one with its context."""
    return f"hello, {name}, at attempt {context.attempt}"


@task()
def count_users() -> int:
    """One with the ORM."""
    return User.objects.count()


@task()
def break_down() -> Any:
    """One that raises."""
    raise LookupError("it broke")


def not_a_task() -> None:
    """Not declared."""
