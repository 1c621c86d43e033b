"""PyPI's python-socketio against a gateway: client.py SCENARIO URL TOKEN [TRANSPORTS]. As client.cjs: the test that started it reads the lines it
prints and acts on them; what is wrong ends it with status 1."""

import asyncio
import json
import sys

import engineio.payload
import socketio

# What is polled may hold more packets than the 16 this client reads unless told otherwise.
engineio.payload.Payload.max_decode_packets = 10_000

SCENARIO, URL, TOKEN = sys.argv[1:4]
TRANSPORTS = (sys.argv[4] if len(sys.argv) > 4 else "polling,websocket").split(",")
SITES = "/sites"


def say(*words):
    print(*words, flush=True)


async def connected(client=None, auth=None, **options):
    client = client or socketio.AsyncClient(reconnection=False)
    auth = {"token": TOKEN} if auth is None else auth
    await client.connect(URL, namespaces=[SITES], transports=TRANSPORTS, auth=auth, wait_timeout=60, **options)
    return client


async def ask(client, event, data=None):
    return await client.call(event, data, namespace=SITES, timeout=60)


def counter(client, last=None):
    """Done when all numbers have come, one after the other."""
    done = asyncio.get_running_loop().create_future()
    state = {"next": 0}

    @client.on("change", namespace=SITES)
    async def change(data):
        if data["number"] != state["next"] or data["text"] != 'äöü "\\ \u2028 😀':
            done.set_exception(AssertionError(f"{data} came when {state['next']} was due"))
        state["next"] += 1
        if data.get("last") or state["next"] == last:
            done.set_result(state["next"])

    return done


async def changes():
    client = socketio.AsyncClient(reconnection=False)
    counted = counter(client)
    await connected(client)
    wanted = {"sites": ["client-1"], "tables": ["public.todos"]}
    answer = await ask(client, "subscribe", wanted)
    assert answer == {"ok": True, **wanted}, answer
    say("subscribed", client.transport())
    if len(TRANSPORTS) == 2:
        # This client upgrades before it says that it is connected.
        say("upgraded")
    got = await counted
    assert client.transport() == TRANSPORTS[-1], client.transport()
    say("got", got)
    await client.disconnect()


async def binary():
    client = await connected()
    for size in [0, 1, 1000, 700_000]:
        data = bytes(n % 251 for n in range(size))
        assert await ask(client, "echo", data) == data, size
    answers = await asyncio.gather(*(ask(client, "echo", bytes([n])) for n in range(200)))
    assert answers == [bytes([n]) for n in range(200)]
    say("transport", client.transport())
    await client.disconnect()


async def wrong():
    client = await connected()
    for given, kind in [
        ({"sites": ["client-9"]}, "unknown-site"),
        ({"site": []}, "bad-subscription"),
        ("all", "bad-subscription"),
        (b"\x01\x02", "bad-subscription"),
    ]:
        answer = await ask(client, "subscribe", given)
        assert answer["error"]["type"] == f"urn:synccluster:problem:{kind}", answer
    answer = await ask(client, "subscribe", {})
    assert answer == {"ok": True, "sites": None, "tables": None}, answer
    await client.disconnect()


async def access():
    for auth in [{"token": "wrong"}, {"token": ""}, {"nothing": 1}]:
        try:
            await connected(auth=auth)
        except socketio.exceptions.ConnectionError:
            continue
        raise AssertionError(f"{auth} was let in")
    client = await connected(auth={}, headers={"Authorization": f"Bearer {TOKEN}"})
    await client.disconnect()


async def reconnect():
    client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)
    connects, gone = asyncio.Queue(), asyncio.Event()
    client.on("connect", lambda: connects.put_nowait(None), namespace=SITES)
    client.on("disconnect", lambda *_: gone.set(), namespace=SITES)
    await connected(client)
    await connects.get()
    await ask(client, "subscribe", {})
    say("subscribed")
    await gone.wait()
    say("disconnected")
    await connects.get()
    counted = counter(client, 3)
    await ask(client, "subscribe", {})
    say("subscribed")
    say("got", await counted)
    await client.disconnect()


async def live():
    client, seen = socketio.AsyncClient(reconnection=False), set()

    @client.on("change", namespace=SITES)
    async def change(data):
        if data["row"]["values"]["title"] == "bought":
            seen.add(f"{data['site']} {data['op']} {json.dumps(data['applied'])}")

    await connected(client)
    await ask(client, "subscribe", {"tables": ["public.todos"]})
    say("subscribed")
    while len(seen) < 3:
        await asyncio.sleep(0.01)
    say("saw", ", ".join(sorted(seen)))
    await client.disconnect()


async def main():
    await asyncio.wait_for(globals()[SCENARIO](), 180)
    say("done")


asyncio.run(main())
