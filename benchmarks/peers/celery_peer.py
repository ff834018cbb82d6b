"""Celery: `python celery_peer.py` drives, `celery -A celery_peer worker` works; bytes travel as text of the base 64."""

import asyncio
import base64
from importlib.metadata import version

import redis
from celery import Celery
from driving import DONE, LEFT, URL, drive

app = Celery("celery_peer", broker=URL)
app.conf.update(
    task_ignore_result=True,
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
    TASKS[name].delay(base64.b64encode(argument).decode() if isinstance(argument, bytes) else argument)


if __name__ == "__main__":
    asyncio.run(drive(begin, {"celery": version("celery")}))
