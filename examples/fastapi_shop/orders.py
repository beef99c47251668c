"""The table of orders, and who may sign in."""

from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.requests import HTTPConnection

USERS = {
    "token-of-ada": {"id": "ada", "permissions": ["preview_repair", "execute_repair"]},
    "token-of-kim": {"id": "kim", "permissions": []},
}
"""Your sessions; here everybody's token."""


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    workflow_id: Mapped[int | None]


class NewOrder(BaseModel):
    amount: int


def who(connection: HTTPConnection) -> dict[str, object] | None:
    token = connection.cookies.get("session") or connection.headers.get("authorization", "").removeprefix("Bearer ")
    return USERS.get(token)
