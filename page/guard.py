"""Checks requests before Gradio sees them, and before Gradio answers CORS requests.

The page listens on this machine, so any other web page that is open in the visitor's browser can send requests to it.
Browsers say which page sent a request (Origin) and under which name they found the server (Host). A foreign name that
points to this machine is DNS rebinding. Gradio opens any picture that a request names if the request leaves out `meta`,
and it has more endpoints than this page needs. Uploads and results share one folder: which of its files may be
opened, how much it holds and for how long is decided here, too.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gradio.routes import App, ORJSONResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse

MB = 1 << 20
# for which pictures, files and what is known of them are kept
KEEP_SECONDS = 1800
NOT_OURS = "only pictures that were uploaded to this page are taken"

API = "/gradio_api/"
UPLOAD, FILE, RUN = f"{API}upload", f"{API}file=", f"{API}run/"
PAGES = {"/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", UPLOAD} | {
    API + name
    for name in (
        *("startup-events", "app_id", "info", "theme.css", "upload_progress"),
        *("queue/join", "queue/data", "queue/status", "cancel", "reset"),
    )
}
FOLDERS = ("/assets/", "/static/", "/svelte/", FILE, f"{API}heartbeat/", RUN, f"{API}call/")
# requests carry the names of files, not their content
MOST_JSON = 1 * MB
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# of headers by which Gradio would write other addresses into the page
NO_PROXY = (b"x-forwarded-", b"forwarded", b"x-gradio-server")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class GuardedApp(App):
    """Gradio's application behind the guard. A middleware would stand behind the CORS answers, which Gradio adds
    last."""

    def __init__(self, guard: "Guard") -> None:
        super().__init__(default_response_class=ORJSONResponse)
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(super().__call__, scope, receive, send)


class Guard:
    """host: the name or address that the page was told to listen on."""

    def __init__(self, host: str, uploads: "Uploads") -> None:
        self.host, self.uploads = host.strip("[]").lower(), uploads

    async def __call__(self, app, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        # Gradio 6 uses no WebSockets
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                await self._pass(app, scope, receive, send)
            except Refused as refused:
                # Gradio's script shows the whole answer of an upload, and `detail` of all others
                upload = scope["path"] == UPLOAD
                content = str(refused) if upload else {"detail": str(refused)}
                await (PlainTextResponse if upload else JSONResponse)(content, refused.status)(scope, receive, send)

    async def _pass(self, app, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_sender(scope)
        path, method = scope["path"], scope["method"]
        if path not in PAGES and not path.startswith(FOLDERS):
            raise Refused(404, "not found")
        if method not in ("GET", "HEAD", "POST", "OPTIONS"):
            raise Refused(405, "method not allowed")
        if path.startswith(FILE):
            self._check_file(path.removeprefix(FILE))
        scope["headers"] = [each for each in scope["headers"] if not each[0].startswith(NO_PROXY)]
        if method == "POST" and path == UPLOAD:
            await self._upload(app, scope, receive, send)
        elif method == "POST":
            self.uploads.check_room()
            body = self._checked(await _read(receive))
            _replace_header(scope, b"content-length", str(len(body)).encode())
            if path.startswith(RUN):
                await self._run(app, scope, _first(body, receive), send)
            else:
                await app(scope, _first(body, receive), send)
        else:
            await app(scope, receive, send)

    def _check_sender(self, scope: Scope) -> None:
        """Host and Origin must name the place where this connection came in."""
        address, port = scope["server"]
        names = {f"[{name}]" if ":" in name else name for name in (self.host, address.lower(), *LOOPBACK)}
        ours = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
        headers = Headers(scope=scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        origins = [origin.lower() for origin in headers.getlist("origin")]
        if len(hosts) != 1 or hosts[0] not in ours:
            raise Refused(403, "this page answers only to its own address")
        if any(origin not in {f"http://{host}" for host in ours} for origin in origins):
            raise Refused(403, "this page takes nothing from other pages")

    def _check_file(self, path: Any) -> None:
        try:
            own(self.uploads.folder, path)
        except ValueError as error:
            raise Refused(403, str(error)) from None

    async def _upload(self, app, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        size = headers.get("content-length", "")
        if not size.isdecimal() or "transfer-encoding" in headers:
            raise Refused(411, "an upload must tell its length")
        client = scope["client"][0] if scope["client"] else ""
        self.uploads.admit(client, int(size))
        answer = await _answer(app, scope, receive)
        if answer and answer[0].get("status") == 200:
            self.uploads.settle(client, json.loads(_body(answer)))
        for message in answer:
            await send(message)

    async def _run(self, app, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio calls it a fault of the server, 500, when a function refuses what it got and says why."""
        answer = await _answer(app, scope, receive)
        if answer and answer[0].get("status") == 500 and _has_reason(_body(answer)):
            answer[0]["status"] = 400
        for message in answer:
            await send(message)

    def _checked(self, body: bytes) -> bytes:
        """The same request, written anew from what was checked. Raises Refused for a file that is not the page's
        own."""
        if not body:
            return body
        try:
            content = json.loads(body)
            # Gradio could not write infinite numbers down
            checked = json.dumps(content, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise Refused(400, "not JSON") from None
        if not isinstance(content, dict):
            raise Refused(400, "not a request")
        left: list[Any] = [content]
        while left:
            each = left.pop()
            if isinstance(each, dict):
                if each.get("path") is not None:
                    self._check_file(each["path"])
                if str(each.get("url") or "").lower().startswith("data:"):
                    raise Refused(403, "pictures are uploaded, not written into requests")
            left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
        return checked


async def _read(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "broken off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_JSON:
            raise Refused(413, f"a request of more than {MOST_JSON // MB} MB")
        more = message.get("more_body", False)
    return b"".join(parts)


async def _answer(app, scope: Scope, receive: Receive) -> list[MutableMapping[str, Any]]:
    """All of it, to be read before it is sent; nothing where the visitor left meanwhile."""
    _replace_header(scope, b"accept-encoding", b"identity")
    answer: list[MutableMapping[str, Any]] = []

    async def keep(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    with suppress(ClientDisconnect):
        await app(scope, receive, keep)
    return answer


def _body(answer: list[MutableMapping[str, Any]]) -> bytes:
    return b"".join(message.get("body", b"") for message in answer)


def _has_reason(body: bytes) -> bool:
    """Whether it is what Gradio writes of an error that a function explained."""
    try:
        return bool(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return False


def _first(body: bytes, receive: Receive) -> Receive:
    """The body in one message, and then what else comes: the end of the connection."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return next_message


def _replace_header(scope: Scope, name: bytes, value: bytes) -> None:
    scope["headers"] = [*(each for each in scope["headers"] if each[0] != name), (name, value)]


# --- The folder of uploads and results --------------------------------------------------------------------------------


class Refused(Exception):
    """status: of the HTTP answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """client: of what one address sends within `seconds`. total: of all in the folder. seconds: for which a file is
    kept."""

    client_bytes: int = 500 * MB
    client_files: int = 300
    total_bytes: int = 2000 * MB
    total_files: int = 5000
    seconds: float = KEEP_SECONDS


def own(folder: str, path: str) -> str:
    """The real path of a file that lies below the folder, and is named so: files that this process holds open have
    other names in /proc. Raises ValueError in the same words for all others, there or not."""
    try:
        real, root = os.path.realpath(path), os.path.realpath(folder)
        named = os.path.abspath(path)
    # a null byte, and what is no text
    except (OSError, ValueError, TypeError):
        raise ValueError(NOT_OURS) from None
    if not real.startswith(root + os.sep) or not named.startswith((root + os.sep, os.path.abspath(folder) + os.sep)):
        raise ValueError(NOT_OURS)
    return real


class Uploads:
    """Files that are in the folder at the start belong to the page and stay. Later ones are removed after a time."""

    def __init__(self, folder: str, limits: Limits | None = None, clock=time.time) -> None:
        self.folder, self.limits, self._clock = folder, limits or Limits(), clock
        self._kept = {path for path, _ in _files(folder)}
        # when, by whom, bytes, files
        self._sent: list[tuple[float, str, int, int]] = []

    def admit(self, client: str, size: int) -> None:
        """Before an upload, whose size is charged even if it breaks off. Raises Refused."""
        limits = self.limits
        self.check_room(size)
        by_all = sum(each[2] for each in self._sent)
        by_client = [each for each in self._sent if each[1] == client]
        if sum(each[2] for each in by_client) + size > limits.client_bytes:
            raise Refused(
                413, f"more than {limits.client_bytes // MB} MB within {limits.seconds / 60:.0f} minutes: wait a little"
            )
        if sum(each[3] for each in by_client) >= limits.client_files:
            raise Refused(429, self._too_many())
        if by_all + size > limits.total_bytes:
            raise Refused(503, "the page has no more room for pictures: wait a little")
        self._sent.append((self._clock(), client, size, 1))

    def settle(self, client: str, paths: Sequence[str]) -> None:
        """After an upload that `admit` has charged as one file: count all of it. Raises Refused, and removes too
        many."""
        before = sum(each[3] for each in self._sent if each[1] == client) - 1
        if before + len(paths) > self.limits.client_files:
            for path in paths:
                _remove(own(self.folder, path))
            raise Refused(429, self._too_many())
        self._sent.append((self._clock(), client, 0, len(paths) - 1))

    def check_room(self, size: int = 0) -> None:
        """Clean up, and see whether `size` bytes more have room. Raises Refused."""
        held = self.sweep()
        if len(held) >= self.limits.total_files or sum(held) + size > self.limits.total_bytes:
            raise Refused(503, "the page has no more room for pictures: wait a little")

    def sweep(self) -> list[int]:
        """Remove what is old, broken uploads too, which Gradio forgets; the sizes of what is left."""
        oldest = self._clock() - self.limits.seconds
        self._sent = [each for each in self._sent if each[0] > oldest]
        sizes = []
        for path, status in _files(self.folder):
            # the time of the change, not of the contents: copies of examples keep that of their originals
            if status.st_ctime < oldest and path not in self._kept:
                _remove(path)
            else:
                sizes.append(status.st_size)
        return sizes

    def _too_many(self) -> str:
        return (
            f"more than {self.limits.client_files} files within {self.limits.seconds / 60:.0f} minutes: wait a little"
        )


def _files(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                found.append((path, os.lstat(path)))
            # removed by Gradio, or renamed from its partial name, meanwhile
            except FileNotFoundError:
                continue
    return found


def _remove(path: str) -> None:
    """The file, and its folder where it was the last one there."""
    try:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
    # gone already, or the folder holds others
    except OSError:
        return
