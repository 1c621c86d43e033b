"""PyPI's python-socketio as a client of the aggregation service that was there before the gateway, with nothing but its events' names:
counters.py SCENARIO URL TOKEN [TRANSPORTS]. The test that started it reads the lines it prints and acts on them; what is wrong ends it with
status 1."""

import asyncio
import json
import sys

import engineio.payload
import socketio

# What is polled may hold more packets than the 16 this client reads unless told otherwise.
engineio.payload.Payload.max_decode_packets = 10_000

SCENARIO, URL, TOKEN = sys.argv[1:4]
TRANSPORTS = (sys.argv[4] if len(sys.argv) > 4 else "polling,websocket").split(",")
MINUTES = [1, 5, 10]
FIELDS = {"id", "window_start", "window_end", "count", "late", "updated_at", "final"}


def say(*words):
    print(*words, flush=True)


async def connected(auth=None):
    client = socketio.AsyncClient(reconnection=False)
    for minutes in MINUTES:

        def live(aggregation, minutes=minutes):
            assert set(aggregation) == FIELDS, aggregation
            assert aggregation["window_end"] - aggregation["window_start"] == minutes * 60_000, aggregation
            say("live", minutes, json.dumps(aggregation))

        client.on(f"live_aggregations_{minutes}", live)
    client.on("error", lambda problem: say("error", problem["type"].rsplit(":")[-1], problem["detail"]))
    await client.connect(URL, transports=TRANSPORTS, auth={"token": TOKEN} if auth is None else auth, wait_timeout=60)
    return client


async def original():
    """Registers, consumes, and listens until the test ends it."""
    client = await connected()
    await client.emit("register_room", {"rooms": ["tea", "coffee", "hot"]})
    for minutes in MINUTES:
        await client.emit(f"consume_{minutes}_min_aggregations")
    await client.wait()


async def anonymous():
    """As `original`, and it has no token."""
    client = await connected(auth={})
    await client.emit("register_room", ["tea"])
    await client.emit("consume_1_min_aggregations")
    await client.wait()


async def quick():
    """Asks for windows before it registers, and for one window only."""
    client = await connected()
    answer = await client.call("consume_10_min_aggregations", timeout=60)
    assert answer == {"ok": True, "registered": 0}, answer
    answer = await client.call("register_room", ["tea", 7, "tea"], timeout=60)
    assert answer == {"ok": True, "registered": 2}, answer
    answer = await client.call("register_room", {"rooms": ["tea", "hot"]}, timeout=60)
    assert answer == {"ok": True, "registered": 3}, answer
    await client.wait()


async def wrong():
    client = await connected()
    many = [str(number) for number in range(1001)]
    for event, given, kind in [
        ("register_room", "tea", "bad-registration"),
        ("register_room", None, "bad-registration"),
        ("register_room", {"rooms": "tea"}, "bad-registration"),
        ("register_room", {"room": ["tea"]}, "bad-registration"),
        ("register_room", ["tea", None], "bad-registration"),
        ("register_room", [""], "bad-id"),
        ("register_room", ["x" * 257], "bad-id"),
        ("register_room", ["x" * 900_000], "bad-id"),
        ("register_room", many, "bad-registration"),
        ("register_room", b"\x01\x02", "bad-registration"),
        ("consume_2_min_aggregations", None, "unknown-window"),
        ("consume_0_min_aggregations", ["tea"], "unknown-window"),
        ("subscribe", {}, "unknown-event"),
    ]:
        answer = await client.call(event, given, timeout=60)
        assert answer["error"]["type"] == f"urn:synccluster:problem:{kind}", (event, answer)
        assert answer["error"]["detail"], answer
    answer = await client.call("register_room", many[1:], timeout=60)
    assert answer == {"ok": True, "registered": 1000}, answer
    await client.disconnect()


async def narrow():
    """Of nodes that count in windows of a minute, and in others that have no event."""
    client = await connected()
    for minutes in [5, 10]:
        answer = await client.call(f"consume_{minutes}_min_aggregations", timeout=60)
        problem = answer["error"]
        assert problem["type"].endswith(":unknown-window") and problem["detail"].endswith("has 1m"), answer
    answer = await client.call("consume_1_min_aggregations", timeout=60)
    assert answer == {"ok": True, "registered": 0}, answer
    await client.disconnect()


async def off():
    client = await connected()
    for event in ["register_room", "consume_1_min_aggregations"]:
        answer = await client.call(event, ["tea"], timeout=60)
        problem = answer["error"]
        assert problem["type"].endswith(":counters-off") and "spec.counter.nodes" in problem["detail"], answer
    await client.disconnect()


async def refused(*shown):
    for auth in shown:
        try:
            await connected(auth=auth)
        except socketio.exceptions.ConnectionError:
            continue
        raise AssertionError(f"{auth} was let in")


async def access():
    await refused({}, {"token": "wrong"}, {"token": ""})
    client = await connected()
    await client.disconnect()


async def wrong_token():
    """Where anyone may read what is counted, a wrong token is not made good by that; nor are the sites anyone's."""
    await refused({"token": "wrong"}, {"token": ""})
    client = socketio.AsyncClient(reconnection=False)
    try:
        await client.connect(URL, transports=TRANSPORTS, namespaces=["/sites"], auth={}, wait_timeout=60)
    except socketio.exceptions.ConnectionError:
        return
    raise AssertionError("a client without a token was let in to /sites")


async def main():
    await asyncio.wait_for(globals()[SCENARIO](), 600)
    say("done")


asyncio.run(main())
