"""Checks requests before Gradio sees them, and before Gradio answers CORS requests.

The page listens on this machine, so any other web page that is open in the visitor's browser can send requests to it.
Browsers say which page sent a request (Origin) and under which name they found the server (Host). A foreign name that
points to this machine is DNS rebinding. Gradio opens any picture that a request names if the request leaves out `meta`,
and it has more endpoints than this page needs.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gradio.routes import App, ORJSONResponse
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse

from page.uploads import MB, Refused, Uploads, own

API = "/gradio_api/"
UPLOAD, FILE = f"{API}upload", f"{API}file="
PAGES = {"/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", UPLOAD} | {
    API + name
    for name in (
        *("startup-events", "app_id", "info", "theme.css", "upload_progress"),
        *("queue/join", "queue/data", "queue/status", "cancel", "reset"),
    )
}
FOLDERS = ("/assets/", "/static/", "/svelte/", FILE, f"{API}heartbeat/", f"{API}run/", f"{API}call/")
# requests carry the names of files, not their content
MOST_JSON = 1 * MB
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_PROXY = (
    b"x-forwarded-",
    b"forwarded",
    b"x-gradio-server",
    # by which Gradio would write other addresses into the page
)

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

    def __init__(self, host: str, uploads: Uploads) -> None:
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
        # the answer is read here
        _replace_header(scope, b"accept-encoding", b"identity")
        answer: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            answer.append(message)

        await app(scope, receive, keep)
        if answer and answer[0].get("status") == 200:
            paths = json.loads(b"".join(message.get("body", b"") for message in answer))
            self.uploads.settle(client, paths)
        for message in answer:
            await send(message)

    def _checked(self, body: bytes) -> bytes:
        """The same request, written anew from what was checked. Raises Refused for a file that is not the page's
        own."""
        try:
            content = json.loads(body or b"null")
        except (ValueError, RecursionError):
            raise Refused(400, "not JSON") from None
        left = [content]
        while left:
            each = left.pop()
            if isinstance(each, dict):
                if each.get("path") is not None:
                    self._check_file(each["path"])
                if str(each.get("url") or "").lower().startswith("data:"):
                    raise Refused(403, "pictures are uploaded, not written into requests")
            left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
        return json.dumps(content).encode() if body else body


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


def _first(body: bytes, receive: Receive) -> Receive:
    """The body in one message, and then what else comes: the end of the connection."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return next_message


def _replace_header(scope: Scope, name: bytes, value: bytes) -> None:
    scope["headers"] = [*(each for each in scope["headers"] if each[0] != name), (name, value)]
