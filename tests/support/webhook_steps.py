"""Workers of the workflows that webhooks tell of."""

from oban.decorators import job


@job(queue="default")
async def hello() -> str:
    return "hello"
