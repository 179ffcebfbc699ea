"""The page attacked from outside a browser: other people's files, names and pages, and uploads without end."""

import asyncio
import io
import json
import os
import socket
import time
import uuid

import httpx
import numpy as np
import pytest
from PIL import Image

import app
from enhancing.examining import Examiner
from models.enhancer import Generator
from page.guard import NOT_OURS, Guard, Limits, Refused, Uploads, own
from reading.reader import ALPHABET, Reading

SECONDS = 30
META = {"_type": "gradio.FileData"}


class SilentReader:
    def read(self, pictures):
        # one time step, in which nothing is seen
        steps = np.eye(len(ALPHABET), dtype=np.float32)[:1]
        return [Reading("", steps=steps) for _ in pictures]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of the started page, and its folder."""
    folder = tmp_path_factory.mktemp("plates")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = app.Settings(port=port)
    examiner = Examiner(Generator(lambda batch: batch), reader=SilentReader(), ask_again=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_TEMP_DIR", "FORWARDED_ALLOW_IPS", "no_proxy", "NO_PROXY"):
            # so that it is put back
            patch.setenv(name, os.environ.get(name, ""))
        # a proxy that does not answer is no hindrance
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        started = app.open_page(settings, examiner, str(folder))
        yield f"http://127.0.0.1:{port}", folder
        started.close(verbose=False)


@pytest.fixture
def client(page):
    with httpx.Client(base_url=page[0], timeout=SECONDS, trust_env=False) as client:
        yield client


@pytest.fixture
def secret(tmp_path):
    """A picture of somebody on this machine, that was never uploaded."""
    path = tmp_path / "secret.png"
    Image.new("RGB", (64, 32), (200, 10, 10)).save(path)
    return path


def png(side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, 2 * side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def upload(client, content: bytes, name: str = "plate.png", **headers) -> httpx.Response:
    return client.post("/gradio_api/upload", files={"files": (name, content, "image/png")}, headers=headers)


def function(client, component: str, event: str) -> int:
    """The number of the function that an event of a component calls."""
    config = client.get("/config").json()
    [wanted] = [each["id"] for each in config["components"] if each["props"].get("elem_id") == component]
    return next(each["id"] for each in config["dependencies"] if [wanted, event] in map(list, each["targets"]))


def ask(client, component: str, told: dict) -> tuple[int, str]:
    """Status and all that the page answers to a request that is put into its queue, random names left out."""
    session = uuid.uuid4().hex
    number = function(client, component, "upload")
    body = {"data": [None], "event_data": told, "fn_index": number, "session_hash": session}
    joined = client.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.status_code, joined.text
    answers = []
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                answers.append(json.loads(line.removeprefix("data:")))
                if answers[-1]["msg"] in ("process_completed", "unexpected_error"):
                    break
    return 200, json.dumps(answers[-1]["output"])


def one(path: str, **more) -> dict:
    return {"path": path, "name": "plate.png", **more}


def two(path: str, **more) -> dict:
    return {"files": [one(path, **more)] * 2}


def test_a_visitors_own_picture_is_taken(client):
    [path] = upload(client, png()).json()
    for component, told in (("photo", one(path)), ("frames", two(path))):
        status, answer = ask(client, component, told)
        assert (status, "preview.jpg" in answer) == (200, True), answer


def test_the_api_takes_a_picture_and_gives_json_and_png(client, page):
    [path] = upload(client, png()).json()
    asked = {"data": [{"path": path, "orig_name": "my plate.png"}, None, 0.5]}
    answer = client.post("/gradio_api/run/enhance", json=asked)
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["data"]
    assert set(found) == {"width", "height", "plates", "note"}
    assert (found["width"], found["height"]) == (64, 32)
    [plate] = found["plates"]
    names = {"corners", "text", "characters", "trust", "warnings", "picture", "before_and_after"}
    assert set(plate) == names
    assert plate["picture"].endswith("my%20plate-enhanced.png")
    for name in ("picture", "before_and_after"):
        picture = client.get(plate[name])
        assert picture.content.startswith(b"\x89PNG")
    asked["data"][1] = [[60, 30], [2, 30], [2, 4], [60, 4]]
    [plate] = client.post("/gradio_api/run/enhance", json=asked).json()["data"][0]["plates"]
    assert plate["corners"] == asked["data"][1]


def test_programs_can_rely_on_the_apis_signature(client):
    known = client.get("/gradio_api/info").json()["named_endpoints"]
    assert list(known) == ["/enhance"]
    parameters = [(each["parameter_name"], each.get("parameter_default")) for each in known["/enhance"]["parameters"]]
    assert parameters == [("picture", None), ("corners", None), ("strength", None)]
    assert [each["parameter_has_default"] for each in known["/enhance"]["parameters"]] == [False, True, True]
    assert len(known["/enhance"]["returns"]) == 1


def test_the_api_says_what_it_cannot_do(client, secret):
    [path] = upload(client, b"no picture").json()
    [good] = upload(client, png()).json()
    for picture, corners, strength, words in (
        ({"path": path}, None, None, "not a picture"),
        ({"path": path}, [[1, 1]], None, "not a picture"),
        ({"path": good}, [[1, 1]], None, "four corners"),
        ({"path": good}, [[0, 0], [99, 0], [99, 9], [0, 9]], None, "outside the photo of 64 x 32"),
        ({"path": good}, None, "much", "could not convert"),
        ({}, None, None, "no picture"),
        (None, None, None, "no picture"),
    ):
        answer = client.post("/gradio_api/run/enhance", json={"data": [picture, corners, strength]})
        assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text
    hidden = client.post("/gradio_api/run/enhance", json={"data": [{"path": str(secret)}, None, None]})
    assert (hidden.status_code, NOT_OURS in hidden.text) == (403, True)


def test_the_api_is_called_from_python(page, tmp_path):
    from gradio_client import Client, handle_file

    (tmp_path / "plate.png").write_bytes(png())
    client = Client(page[0], verbose=False, analytics_enabled=False)
    answer = client.predict(handle_file(tmp_path / "plate.png"), api_name="/enhance")
    assert len(answer["plates"]) == 1


@pytest.mark.parametrize("meta", [{}, {"meta": META}, {"meta": {}}])
@pytest.mark.parametrize(("component", "told"), [("photo", one), ("frames", two)])
def test_no_picture_of_this_machine_is_opened_or_known_to_be_there(client, page, secret, component, told, meta):
    hidden = os.path.relpath(secret, page[1])
    ways = [str(secret), f"{page[1]}/{hidden}", f"file://{secret}", os.path.relpath(secret)]
    answers = [ask(client, component, told(way, **meta)) for way in ways]
    secret.unlink()
    answers += [ask(client, component, told(way, **meta)) for way in (*ways, "/etc/shadow", "/etc", "\0", "")]
    assert set(answers) == {(403, json.dumps({"detail": NOT_OURS}, separators=(",", ":")))}


def test_a_picture_written_into_the_request_or_elsewhere_is_not_taken(client, secret):
    ways = [{"path": None, "url": "data:image/png;base64,AAAA"}, {"path": "http://127.0.0.1:1/a.png", "meta": META}]
    assert [ask(client, "photo", way)[0] for way in ways] == [403, 403]


def test_the_handlers_look_for_themselves(page, secret):
    """The guard is one wall, and not the only one."""
    from page import several, single
    from page.tab import Visit

    for take, given in ((single._take, one(str(secret))), (several._take, two(str(secret))["files"])):
        visit = Visit()
        view, _ = take(str(page[1]), visit, given)
        assert visit.now is None
        assert NOT_OURS in view["problem"]


def test_a_link_in_the_folder_leads_nowhere(page, secret):
    link = page[1] / "link.png"
    link.symlink_to(secret)
    with pytest.raises(ValueError, match=NOT_OURS):
        own(str(page[1]), str(link))
    link.unlink()


def test_a_file_of_the_folder_under_another_name_is_not_taken(client, page, tmp_path):
    path = upload(client, png()).json()[0]
    assert own(str(page[1]), path)
    (tmp_path / "link.png").symlink_to(path)
    with open(path) as held:
        for other in (tmp_path / "link.png", f"/proc/self/fd/{held.fileno()}"):
            assert client.get(f"/gradio_api/file={other}").status_code == 403
            with pytest.raises(ValueError, match=NOT_OURS):
                own(str(page[1]), str(other))


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/none", "README.md", "http://127.0.0.1:1/", "/etc", "", "\0"])
def test_no_file_of_this_machine_is_served(client, path):
    assert client.get(f"/gradio_api/file={path}" if "\0" not in path else "/gradio_api/file=%00").status_code == 403


FOREIGN = ("evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "localhost.evil.example:{port}", "")


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_of_somebody_elses_that_points_here_is_refused(client, page, host):
    host = host.format(port=page[0].rsplit(":", 1)[1])
    ways = [("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/upload")]
    asked = {"Access-Control-Request-Method": "POST"}
    for method, path in [*ways, ("OPTIONS", "/gradio_api/upload")]:
        answer = client.request(method, path, headers={"Host": host, "Origin": f"http://{host}", **asked})
        # 400: uvicorn's own for no name
        assert answer.status_code in (403, 400), (method, path)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", ""]
)
def test_other_pages_upload_nothing(client, page, origin):
    before = sorted(page[1].rglob("*"))
    origin = origin.format(port=page[0].rsplit(":", 1)[1])
    answer = upload(client, png(), Origin=origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert sorted(page[1].rglob("*")) == before


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machines_own_names_are_answered(client, page, name):
    host = f"{name}:{page[0].rsplit(':', 1)[1]}"
    assert client.get("/config", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_no_proxy_is_believed(client):
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Gradio-Server": "http://evil.example",
    }
    assert "evil.example" not in client.get("/", headers=headers).text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/gradio_api/{name}") for name in ("process_recording", "component_server", "vibe-edit", "api/x")),
        *(("GET", f"/gradio_api/{name}") for name in ("proxy=http://127.0.0.1:1/", "openapi.json", "file/etc/passwd")),
        *(("GET", path) for path in ("/monitoring", "/monitoring/summary", "/docs", "/static/../../x")),
    ],
)
def test_doors_that_the_page_does_not_need_are_shut(client, method, path):
    assert client.request(method, path).status_code == 404


STRANGE = (
    *(b"[" * 100_000, b"{", b'{"a": "' + b"x" * (2 << 20) + b'"}', b"\xff\xfe\xfd"),
    *(b"null", b"[]", b"1", b'{"fn_index": 1e400}', b'{"data": [NaN]}', b'{"data": ' * 3000 + b"1" + b"}" * 3000),
)


@pytest.mark.parametrize("body", STRANGE)
def test_strange_requests_get_an_answer(client, body):
    for path in ("queue/join", "run/predict", "cancel"):
        answer = client.post(f"/gradio_api/{path}", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413)


def test_the_page_still_answers_after_all_this(client):
    assert client.get("/").status_code == 200


# --- How much may be uploaded: the guard before an application that keeps what it gets --------------------------------

LITTLE = Limits(client_bytes=3000, client_files=4, total_bytes=5000, total_files=8, seconds=100)


class Keeper:
    """Stands for Gradio: writes the body into the folder, in as many files as the request's query says."""

    def __init__(self, folder, uploads: Uploads) -> None:
        self.folder, self.guard, self.breaks = folder, Guard("127.0.0.1", uploads), False

    async def __call__(self, scope, receive, send) -> None:
        await self.guard(self._keep, scope, receive, send)

    async def _keep(self, scope, receive, send) -> None:
        body = (await receive())["body"]
        paths = [self.folder / uuid.uuid4().hex / "plate.png" for _ in range(int(scope["query_string"] or 1))]
        for path in paths:
            path.parent.mkdir()
            path.write_bytes(body[: len(body) // len(paths)])
        if self.breaks:
            raise ConnectionError("the visitor went away")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps([str(path) for path in paths]).encode()})


@pytest.fixture
def clock():
    return [time.time()]


@pytest.fixture
def keeper(tmp_path, clock):
    return Keeper(tmp_path, Uploads(str(tmp_path), LITTLE, lambda: clock[0]))


def send(keeper, size: int, client: str = "10.0.0.1", files: int = 1, **more) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(keeper, client=(client, 5), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as web:
            return await web.post(f"/gradio_api/upload?{files}", **({"content": b"x" * size} | more))

    return asyncio.run(post())


def held(keeper) -> int:
    return sum(path.stat().st_size for path in keeper.folder.rglob("*.png"))


def test_one_visitor_sends_so_many_bytes(keeper):
    answers = [send(keeper, 1000).status_code for _ in range(5)]
    assert answers == [200, 200, 200, 413, 413]
    assert held(keeper) == 3000
    assert send(keeper, 1000, client="10.0.0.2").status_code == 200


def test_one_visitor_sends_so_many_files(keeper):
    assert [send(keeper, 8).status_code for _ in range(6)] == [200] * 4 + [429] * 2
    assert len(list(keeper.folder.rglob("*.png"))) == 4


def test_many_files_in_one_request_are_counted_and_removed(keeper):
    assert send(keeper, 100, files=3).status_code == 200
    answer = send(keeper, 100, files=2)
    assert (answer.status_code, "more than 4 files" in answer.text) == (429, True)
    # three files and their folders
    assert len(list(keeper.folder.rglob("*"))) == 6


def test_all_visitors_together_are_bounded(keeper):
    answers = [send(keeper, 1000, client=f"10.0.0.{number}").status_code for number in range(9)]
    assert answers == [200] * 5 + [503] * 4
    assert held(keeper) == 5000


def test_what_is_made_counts_too(keeper):
    (keeper.folder / "result.png").write_bytes(b"x" * 4500)
    assert send(keeper, 1000).status_code == 503
    with pytest.raises(Refused):
        keeper.guard.uploads.check_room(600)


def test_uploads_that_break_off_are_charged_and_swept(keeper, clock):
    keeper.breaks = True
    assert [send(keeper, 1000).status_code for _ in range(4)] == [500, 500, 500, 413]
    keeper.breaks = False
    clock[0] += LITTLE.seconds + 5
    assert send(keeper, 1000).status_code == 200
    # what broke off is gone
    assert held(keeper) == 1000
    assert len(list(keeper.folder.iterdir())) == 1


def test_what_belongs_to_the_page_stays(tmp_path, clock):
    (tmp_path / "grid.jpg").write_bytes(b"x" * 10)
    uploads = Uploads(str(tmp_path), LITTLE, lambda: clock[0])
    (tmp_path / "plate.png").write_bytes(b"x" * 20)
    clock[0] += LITTLE.seconds + 5
    assert uploads.sweep() == [10]
    assert [path.name for path in tmp_path.iterdir()] == ["grid.jpg"]


def test_an_upload_tells_its_length(keeper):
    async def parts():
        yield b"x" * 10_000

    assert send(keeper, 0, content=parts()).status_code == 411
    assert held(keeper) == 0
