"""Celery: `python celery_peer.py` drives, `celery -A celery_peer worker` works."""

import asyncio
from importlib.metadata import version

import redis
from celery import Celery
from driving import DONE, LEFT, URL, drive

app = Celery("celery_peer", broker=URL)
app.conf.update(
    task_ignore_result=True,
    task_serializer="pickle",
    accept_content=["pickle", "json"],
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
client = redis.from_url(URL)


@app.task(name="one")
def one(n):
    two.delay(n + 1)


@app.task(name="two")
def two(n):
    three.delay(n + 1)


@app.task(name="three")
def three(n):
    client.rpush(DONE, n + 1)


@app.task(name="spread")
def spread(size):
    for n in range(size):
        item.delay(n)


@app.task(name="item")
def item(n):
    if client.decr(LEFT) == 0:
        client.rpush(DONE, n)


@app.task(name="cargo_one")
def cargo_one(data):
    cargo_two.delay(data)


@app.task(name="cargo_two")
def cargo_two(data):
    cargo_three.delay(data)


@app.task(name="cargo_three")
def cargo_three(data):
    client.rpush(DONE, len(data))


TASKS = {"one": one, "spread": spread, "cargo_one": cargo_one}


def begin(name, argument):
    TASKS[name].delay(argument)


if __name__ == "__main__":
    asyncio.run(drive(begin, {"celery": version("celery")}))
