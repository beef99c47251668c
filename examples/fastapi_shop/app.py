"""A shop on FastAPI and SQLAlchemy: an order and its workflow are one transaction. Run: uvicorn app:app."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from orders import Base, NewOrder, Order, who
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from steps import order_workflow

from oban_powertools import Actor, Powertools, permissions_policy
from oban_powertools.integrations.fastapi import FastAPIPowertools

engine = create_async_engine(os.environ["OBAN_DSN"].replace("postgresql:", "postgresql+psycopg:", 1))
sessions = async_sessionmaker(engine, expire_on_commit=False)
powertools = FastAPIPowertools(queues={"shop": 10}, authorize=permissions_policy(), actor=who)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    async with powertools.lifespan(app):
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
powertools.handle_errors(app)
app.mount("/ops", powertools.console())
app.mount("/events", powertools.events())


async def transaction() -> AsyncIterator[AsyncSession]:
    async with sessions() as session, session.begin():
        yield session


DB = Annotated[AsyncSession, Depends(transaction, scope="function")]  # commits before the answer is sent
PT = Annotated[Powertools, Depends(powertools)]
Operator = Annotated[Actor, Depends(powertools.actor)]


@app.post("/orders", status_code=201)
async def create(new: NewOrder, db: DB, pt: PT) -> dict[str, int]:
    order = Order(amount=new.amount)
    db.add(order)
    await db.flush()
    handle = await pt.workflows.insert(order_workflow(order.id, new.amount), conn=db)
    order.workflow_id = handle.id
    if new.amount < 0:
        raise HTTPException(422, "an order costs something")  # rolls back both
    return {"order": order.id, "workflow": handle.id}


@app.get("/workflows/{workflow_id}")
async def show(workflow_id: str, pt: PT) -> dict[str, Any]:
    return (await pt.workflows.get(workflow_id)).to_dict()


@app.post("/workflows/{workflow_id}/cancel", status_code=204)
async def cancel(workflow_id: str, reason: str, pt: PT, operator: Operator) -> None:
    await pt.workflows.request_cancel(workflow_id, actor=operator, reason=reason, source="web")
