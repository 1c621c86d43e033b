"""python-socketio on uvicorn with their defaults, as the bench needs it: see server.js."""

import asyncio
import json
import socket

import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi")


@sio.on("subscribe", namespace="/sites")
async def subscribe(sid, wanted):
    await sio.enter_room(sid, wanted["tables"][0], namespace="/sites")
    return {"ok": True}


@sio.on("connect", namespace="/sites")
async def connect(sid, environ, auth):
    pass


async def control(reader, _writer):
    while line := await reader.readline():
        await sio.emit("hop", json.loads(line), room="public.todos", namespace="/sites")


async def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    controller = await asyncio.start_server(control, "127.0.0.1", 0)
    print(listener.getsockname()[1], controller.sockets[0].getsockname()[1], flush=True)
    config = uvicorn.Config(socketio.ASGIApp(sio), log_level="error", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])


asyncio.run(main())
