"""The same shop with plain functions and a synchronous SQLAlchemy session. Run: uvicorn app_sync:app."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from orders import Base, NewOrder, Order, who
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker
from steps import order_workflow

from oban_powertools import Actor, permissions_policy
from oban_powertools.integrations.fastapi import FastAPIPowertools
from oban_powertools.sync import SyncCalls

engine = create_engine(os.environ["OBAN_DSN"].replace("postgresql:", "postgresql+psycopg:", 1))
sessions = sessionmaker(engine, expire_on_commit=False)
powertools = FastAPIPowertools(queues={"shop": 10}, authorize=permissions_policy(), actor=who)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    async with powertools.lifespan(app):
        yield
    engine.dispose()


app = FastAPI(lifespan=lifespan)
powertools.handle_errors(app)
app.mount("/ops", powertools.console())
app.mount("/events", powertools.events())


def transaction() -> Iterator[Session]:
    with sessions.begin() as session:
        yield session


DB = Annotated[Session, Depends(transaction, scope="function")]  # commits before the answer is sent
PT = Annotated[SyncCalls, Depends(powertools.blocking)]
Operator = Annotated[Actor, Depends(powertools.actor)]


@app.post("/orders", status_code=201)
def create(new: NewOrder, db: DB, pt: PT) -> dict[str, int]:
    order = Order(amount=new.amount)
    db.add(order)
    db.flush()
    handle = pt.workflows.insert(order_workflow(order.id, new.amount), conn=db)
    order.workflow_id = handle.id
    if new.amount < 0:
        raise HTTPException(422, "an order costs something")  # rolls back both
    return {"order": order.id, "workflow": handle.id}


@app.get("/workflows/{workflow_id}")
def show(workflow_id: str, pt: PT) -> dict[str, Any]:
    return pt.workflows.get(workflow_id).to_dict()


@app.post("/workflows/{workflow_id}/cancel", status_code=204)
def cancel(workflow_id: str, reason: str, pt: PT, operator: Operator) -> None:
    pt.workflows.request_cancel(workflow_id, actor=operator, reason=reason, source="web")
