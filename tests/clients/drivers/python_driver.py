"""Driver of the Python client, blocking (argument `sync`) or asyncio (`async`). Protocol: tests/clients/README.md."""
import asyncio
import base64
import concurrent.futures
import json
import sys

import antomagent


def told(make):
    try:
        return {"ok": make()}
    except antomagent.AntomError as e:
        return failed(e)


def failed(e):
    return {"error": {"code": e.code, "name": e.name, "class": e.error_class, "message": e.message, "field": e.field,
                      "retry_after_ms": e.retry_after_ms}}


def shape(op, value):
    if op == "sign":
        return {"headers": value.headers, "uri": value.uri, "url": value.url, "version": value.version,
                "key_version": value.key_version, "record": value.record}
    if op in ("verify_response", "verify_notification"):
        return {"version": value.version, "time": value.time, "age_ms": value.age_ms}
    return {"state": value["state"]}


def arguments(c):
    """(method of the client, positional, named)"""
    op, more = c["op"], {}
    if "deadline_ms" in c:
        more["timeout"] = c["deadline_ms"] / 1000
    if op == "health":
        return "health", (), more
    body = base64.b64decode(c["body"])
    for name in ("time", "merchant", "trace", "max_age_ms"):
        if name in c:
            more[name] = c[name]
    if op == "sign":
        return "sign_request", (c["profile"], c["method"], c["uri"], body), more
    return op, (c["profile"], c["method"], c["uri"], c["headers"], body), more


def options(c):
    return {"path": c["socket"], "name": "driver 1", "timeout": c.get("timeout_ms", 10000) / 1000}


def told_open(kind, c):
    """The client or None, after it was told."""
    try:
        client = kind(**options(c))
    except antomagent.AntomError as e:
        say(failed(e))
        return None
    say({"ok": {}})
    return client


def say(line):
    print(json.dumps(line), flush=True)


def run_sync():
    client, pool = None, concurrent.futures.ThreadPoolExecutor(64)

    def one(c):
        method, positional, named = arguments(c)
        return told(lambda: shape(c["op"], getattr(client, method)(*positional, **named)))

    for text in sys.stdin:
        c = json.loads(text)
        if c["op"] == "open":
            client = told_open(antomagent.Client, c)
        elif c["op"] == "many":
            say({"ok": list(pool.map(one, c["calls"]))})
        elif c["op"] == "watch":
            count = 0
            try:
                for event in client.watch():
                    say({"event": event.name, "params": event.params})
                    count += 1
                    if count == c["count"]:
                        break
                say({"ok": {}})
            except antomagent.AntomError as e:
                say(failed(e))
        else:
            say(one(c))


async def run_async():
    client = None

    async def one(c):
        method, positional, named = arguments(c)
        try:
            return {"ok": shape(c["op"], await getattr(client, method)(*positional, **named))}
        except antomagent.AntomError as e:
            return failed(e)

    loop = asyncio.get_running_loop()
    while text := await loop.run_in_executor(None, sys.stdin.readline):
        c = json.loads(text)
        if c["op"] == "open":
            client = told_open(antomagent.AsyncClient, c)
        elif c["op"] == "many":
            say({"ok": await asyncio.gather(*(one(x) for x in c["calls"]))})
        elif c["op"] == "watch":
            count, events = 0, client.watch()
            try:
                async for event in events:
                    say({"event": event.name, "params": event.params})
                    count += 1
                    if count == c["count"]:
                        break
                say({"ok": {}})
            except antomagent.AntomError as e:
                say(failed(e))
            await events.aclose()
        else:
            say(await one(c))
    if client is not None:
        await client.close()


if sys.argv[1] == "sync":
    run_sync()
else:
    asyncio.run(run_async())
