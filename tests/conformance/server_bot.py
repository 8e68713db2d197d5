"""The bot that the server tests run on each driver, as a program of its own.

It is written for NoneBot alone, and knows nothing of the driver that its settings name. What a
handler does, the request says: `/answer` gives back the answer that its body describes, a WebSocket
takes the steps that stand in its query. What became of it is asked for by HTTP, at `/outcomes`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from typing import Any

import nonebot
from nonebot.drivers import URL, HTTPServerSetup, Request, Response, WebSocket, WebSocketServerSetup
from nonebot.exception import WebSocketClosed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

nonebot.init()
driver = nonebot.get_driver()


def described(request: Request) -> dict[str, Any]:
    """What a handler finds in its request, as JSON can carry it."""
    content = request.content
    return {
        "method": request.method,
        "url": str(request.url),
        "params": list(request.url.query.items()),
        "headers": list(request.headers.items()),
        "cookies": [[cookie.name, cookie.value] for cookie in request.cookies],
        "content": base64.b64encode(
            content.encode() if isinstance(content, str) else content or b""
        ).decode(),
        "kind of content": type(content).__name__,
        "json": request.json,
        "data": None if request.data is None else dict(request.data),
        "files": [
            [
                name,
                file[0],
                (file[1] if isinstance(file[1], bytes) else file[1].read()).decode(),
                file[2],
            ]
            for name, file in request.files or ()
        ],
        "version": request.version.value,
    }


def answer(value: object) -> Response:
    """An answer that is JSON."""
    return Response(200, headers={"content-type": "application/json"}, content=json.dumps(value))


async def inspect(request: Request) -> Response:
    """Answers with what it found in the request."""
    return answer(described(request))


async def measure(request: Request) -> Response:
    """Answers with how long the body was."""
    return answer(len(request.content or b""))


async def answer_as_told(request: Request) -> Response:
    """Answers with what the body describes: status, headers, text or bytes (in base64)."""
    told = json.loads(request.content or b"")
    content = told.get("text")
    if "bytes" in told:
        content = base64.b64decode(told["bytes"])
    return Response(told.get("status", 200), headers=told.get("headers"), content=content)


async def page(request: Request) -> Response:
    """Something to read."""
    return Response(200, headers={"x-page": "1"}, content="a page")


async def fail(request: Request) -> Response:
    """A defect of a plugin."""
    raise ZeroDivisionError("a secret of the handler's")


class Run:
    """What became of one WebSocket, or of one request that is told to wait."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.gate = asyncio.Event()


runs: defaultdict[str, Run] = defaultdict(Run)


async def outcomes(request: Request) -> Response:
    """Waits until a run has ended, and tells what became of it."""
    run = runs[request.url.query["run"]]
    await run.ended.wait()
    return answer(run.outcomes)


async def began(request: Request) -> Response:
    """Waits until a run has begun."""
    await runs[request.url.query["run"]].began.wait()
    return answer(None)


async def open_gate(request: Request) -> Response:
    """Lets a run go on that waits."""
    runs[request.url.query["run"]].gate.set()
    return answer(None)


async def wait(request: Request) -> Response:
    """Answers once its gate is open."""
    run = runs[request.url.query["run"]]
    run.began.set()
    try:
        await run.gate.wait()
        run.outcomes.append("went on")
        return answer("waited")
    finally:
        run.ended.set()


async def take_steps(websocket: WebSocket) -> None:
    """A WebSocket's handler: takes the steps that the query tells, and keeps what came of each."""
    query = websocket.request.url.query
    run = runs[query["run"]]
    try:
        for name, *arguments in json.loads(query["steps"]):
            if name == "fail":
                raise ZeroDivisionError("a secret of the handler's")
            run.outcomes.append(await outcome_of(take(websocket, run, name, arguments)))
    except asyncio.CancelledError:
        run.outcomes.append("cancelled")
        raise
    finally:
        run.ended.set()


async def outcome_of(step: Any) -> Any:
    """What a step gives, or how it fails: the name of the error, and what it carries."""
    try:
        value = await step
    except WebSocketClosed as error:
        return ["WebSocketClosed", error.code, error.reason or ""]
    except Exception as error:
        return [type(error).__name__]
    return {"bytes": value.decode()} if isinstance(value, bytes) else value


async def take(websocket: WebSocket, run: Run, name: str, arguments: list[Any]) -> Any:
    """One step, most of which are methods of the WebSocket."""
    match name:
        case "closed":
            return websocket.closed
        case "request":
            return described(websocket.request)
        case "wait":
            run.began.set()
            return await run.gate.wait() and None
        case "sleep":
            return await asyncio.sleep(arguments[0])
        case "send bytes":
            return await websocket.send_bytes(arguments[0].encode())
        case "measure":
            return len(await websocket.receive())
        case "send much":
            return await websocket.send("x" * arguments[0])
        case "receive within":
            return await asyncio.wait_for(websocket.receive(), arguments[0])
        case "echo":
            while True:
                await websocket.send(await websocket.receive())
        case _:
            return await getattr(websocket, name)(*arguments)


def serve_http(path: str, handle: Any, *methods: str) -> None:
    """A route for each method."""
    for method in methods:
        driver.setup_http_server(HTTPServerSetup(URL(path), method, f"{method} {path}", handle))


serve_http("/inspect", inspect, *METHODS)
serve_http("/问候", inspect, "GET")
serve_http("/measure", measure, "POST")
serve_http("/answer", answer_as_told, "POST")
serve_http("/page", page, "GET")
serve_http("/slashed/", page, "GET")
serve_http("/fail", fail, "GET", "POST")
serve_http("/wait", wait, "GET")
serve_http("/began", began, "GET")
serve_http("/open", open_gate, "GET")
serve_http("/outcomes", outcomes, "GET")
driver.setup_websocket_server(WebSocketServerSetup(URL("/websocket"), "websocket", take_steps))
# An adapter may have a path for both, as OneBot's has.
driver.setup_websocket_server(WebSocketServerSetup(URL("/page"), "websocket page", take_steps))

if __name__ == "__main__":
    nonebot.run()
