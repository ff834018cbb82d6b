"""Dramatiq: `python dramatiq_peer.py` drives, `dramatiq dramatiq_peer` works."""

import asyncio
from importlib.metadata import version

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.encoder import PickleEncoder
from driving import DONE, LEFT, URL, drive

dramatiq.set_encoder(PickleEncoder())
dramatiq.set_broker(RedisBroker(url=URL))
client = redis.from_url(URL)


@dramatiq.actor
def one(n):
    two.send(n + 1)


@dramatiq.actor
def two(n):
    three.send(n + 1)


@dramatiq.actor
def three(n):
    client.rpush(DONE, n + 1)


@dramatiq.actor
def spread(size):
    for n in range(size):
        item.send(n)


@dramatiq.actor
def item(n):
    if client.decr(LEFT) == 0:
        client.rpush(DONE, n)


@dramatiq.actor
def cargo_one(data):
    cargo_two.send(data)


@dramatiq.actor
def cargo_two(data):
    cargo_three.send(data)


@dramatiq.actor
def cargo_three(data):
    client.rpush(DONE, len(data))


TASKS = {"one": one, "spread": spread, "cargo_one": cargo_one}


def begin(name, argument):
    TASKS[name].send(argument)


if __name__ == "__main__":
    asyncio.run(drive(begin, {"dramatiq": version("dramatiq")}))
