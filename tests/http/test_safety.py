"""What the HTTP door keeps out, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.http.client import Client, Told
from tests.http.conftest import ANN, BOB, House, house

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS = "/api/v1/tasks"
PUBLIC = "https://files.example.org"
WISHES = ("pause", "resume", "cancel", "retry")
GETS = ["/api/v1/me", TASKS, "/api/v1/limits", "/api/v1/openapi.json", "/api/v1/admin/users", "/", "/nothing"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A daemon that begins nothing, known by another name, too."""
    async with house(
        tmp_path_factory.mktemp("http"), daemon={"enabled": False}, http={"public_url": f"{PUBLIC}/odl/"}
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(still: House) -> Client:
    return await still.browser(ANN)


async def said(still: House, text: bytes) -> bytes:
    """What is answered to bytes that may be no HTTP."""
    async with _line(still) as (reader, writer):
        writer.write(text)
        return await reader.read()


async def status(still: House, text: bytes) -> int:
    """The status of an answer that may go on for ever."""
    async with _line(still) as (reader, writer):
        writer.write(text)
        return int((await reader.readline()).split()[1])


@asynccontextmanager
async def _line(still: House) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = still.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.transport.abort()


def head(still: House, line: str = "GET /api/v1/me HTTP/1.1", **headers: str) -> bytes:
    lines = {"Host": "localhost", "Authorization": f"Bearer {still.ann.token}", "Connection": "close", **headers}
    return f"{line}\r\n{''.join(f'{name}: {value}' + chr(13) + chr(10) for name, value in lines.items())}\r\n".encode()


# --- other sites


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Odl": "0"},
        {"X-Odl": "1", "Origin": "https://evil.example"},
        {"X-Odl": "1", "Origin": "null"},
        {"X-Odl": "1", "Origin": ""},
        {"X-Odl": "1", "Origin": "http://["},
        {"X-Odl": "1", "Origin": "http://files.example.org"},
        {"X-Odl": "1", "Origin": "https://files.example.org.evil.example"},
        {"X-Odl": "1", "Origin": "https://files.example.org@evil.example"},
        {"X-Odl": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Odl": "1", "Sec-Fetch-Site": "same-site"},
        {"X-Odl": "1", "Sec-Fetch-Site": "none"},
    ],
)
async def test_what_another_site_has_a_browser_send_changes_nothing(
    still: House, browser: Client, headers: Mapping[str, str]
) -> None:
    (task_id,) = await still.ann.add("https://example.com/kept")
    before = still.sql("SELECT COUNT(*), MAX(odr_id) FROM odl_task")
    for method, path, body in (
        ("POST", TASKS, {"urls": ["https://example.com/forced"]}),
        ("POST", f"{TASKS}/{task_id}/cancel", None),
        ("POST", f"{TASKS}/bulk", {"wish": "cancel", "tab": "all"}),
        ("DELETE", "/api/v1/session", None),
        ("POST", "/api/v1/session", {"token": still.bob.token}),
    ):
        told = await browser.ask(method, path, body, headers=headers)
        assert (told.status, told.reason) == (403, "cross_site"), (method, path)
        assert not told.cookies
    assert still.sql("SELECT COUNT(*), MAX(odr_id) FROM odl_task") == before
    task = (await browser.get(f"{TASKS}/{task_id}"))["task"]
    assert (task["phase"], task["wish"]) == ("waiting", None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": PUBLIC, "Host": "files.example.org", "Sec-Fetch-Site": "same-origin"},
        {"Origin": PUBLIC},
        {"Origin": "http://localhost:8098", "Host": "localhost:8098"},
    ],
)
async def test_our_own_page_may_change_things(browser: Client, headers: Mapping[str, str]) -> None:
    body = {"urls": ["https://example.com/mine"]}
    told = await browser.ask("POST", TASKS, body, headers={"X-Odl": "1", **headers})
    assert (told.status, told.json["results"][0]["error"]) == (200, None)


async def test_a_program_needs_no_header(still: House) -> None:
    told = await still.ann.ask("POST", TASKS, {"urls": ["https://example.com/x"]}, headers={"Origin": "https://any"})
    assert told.status == 200


async def test_a_form_of_another_site_is_no_json(still: House, browser: Client) -> None:
    for sort in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", ""):
        for client in (browser, still.ann):
            told = await client.ask(
                "POST", TASKS, raw=b'{"urls": ["https://e.com/"]}', headers={"Content-Type": sort, "X-Odl": "1"}
            )
            assert (told.status, told.reason) == (415, "not_json")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 401),
        ("localhost:1234", 401),
        ("127.0.0.1", 401),
        ("192.168.1.5:8098", 401),
        ("[::1]:8098", 401),
        ("files.example.org", 401),
        ("FILES.example.org:443", 401),
        ("evil.example", 421),
        ("evil.example:8098", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example#localhost", 421),
        ("[", 421),
        ("[::1", 421),
        ("", 421),
        ("local host", 421),
        ("0x7f.1", 421),
    ],
)
async def test_a_name_that_is_not_ours_is_refused_whatever_is_asked(still: House, host: str, status: int) -> None:
    for path in (*GETS[:3], "/"):
        told = await still.nobody.ask("GET", path, headers={"Host": host})
        assert told.status in ((status,) if path.startswith("/api") or status == 421 else (200, 404))
    if status == 421:
        told = await still.ann.ask("POST", TASKS, {"urls": ["https://example.com/"]}, headers={"Host": host})
        assert (told.status, told.reason) == (421, "wrong_host")


async def test_a_request_without_a_host_is_refused(still: House) -> None:
    assert b" 421 " in (await said(still, b"GET /api/v1/me HTTP/1.0\r\n\r\n")).splitlines()[0]


async def test_no_other_site_may_read_an_answer(still: House, browser: Client) -> None:
    for method, path in (("OPTIONS", TASKS), ("GET", TASKS), ("OPTIONS", "/api/v1/session"), ("GET", "/nothing")):
        told = await browser.ask(
            method, path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        )
        assert not [name for name in told.headers if name.lower().startswith("access-control-")]


# --- every answer


def assert_safe(headers: Mapping[str, str]) -> None:
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert (headers["Referrer-Policy"], headers["Cross-Origin-Resource-Policy"]) == ("no-referrer", "same-origin")
    assert headers["Server"] == "odl-daemon"


async def test_every_answer_keeps_browsers_safe_errors_too(still: House, browser: Client) -> None:
    answers = [await client.ask("GET", path) for client in (still.ann, browser, still.nobody) for path in GETS]
    answers += [
        await still.nobody.ask("GET", "/", headers={"Host": "evil.example"}),
        await still.ann.ask("PUT", TASKS),
        await still.ann.ask("POST", TASKS, raw=b"x" * (512 * 1024 + 1)),
        await still.ann.ask("GET", "/" + "x" * 4100),
        await still.ann.ask("POST", TASKS, raw=b"{"),
        await still.ann.ask("GET", TASKS, headers={"Expect": "the-unexpected"}),
    ]
    for told in answers:
        assert_safe(told.headers)
        if told.status != 304 and "/api" in told.text:
            assert told.headers["Cache-Control"] == "no-store"
    assert {told.status for told in answers} >= {200, 400, 401, 403, 404, 405, 413, 414, 417, 421}


async def test_what_is_no_http_is_answered_in_the_same_form_and_leaves_no_trace(still: House) -> None:
    before = still.daemon.log()
    secret = f"Authorization: Bearer {still.ann.token}\r\n"
    for text in (
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        f"GET / HTTP/1.1\r\nHost: localhost\r\n{secret}Bad Header\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\n{secret}X: {'x' * 9000}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\n{secret}{'X: y' + chr(13) + chr(10)}" * 200 + "\r\n",
        f"GET /{'x' * 9000} HTTP/1.1\r\nHost: localhost\r\n{secret}\r\n",
        f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\n{secret}Content-Length: -1\r\n\r\n",
        f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\n{secret}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\n{secret}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ):
        answer = await said(still, text.encode("latin-1"))
        assert answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.0 400"), (text, answer)
        lines, _, body = answer.decode().partition("\r\n\r\n")
        assert_safe(dict(line.split(": ", 1) for line in lines.split("\r\n")[1:]))
        assert json.loads(body)["error"]["reason"] == "bad_request"
        assert still.ann.token not in answer.decode()
    assert still.daemon.log() == before


async def test_nothing_is_changed_by_asking_to_see(still: House, browser: Client) -> None:
    (task_id,) = await still.ann.add("https://example.com/seen")
    dump = still.sql("SELECT * FROM odl_task"), still.sql("SELECT * FROM OfflineDownloadRecord")
    paths = (await still.nobody.get("/api/v1/openapi.json"))["paths"]
    for path in [*paths, "/api/v1/session"]:
        if path != "/api/v1/events":
            for client in (browser, still.ann, still.boss):
                for method in ("GET", "HEAD"):
                    await client.ask(method, path.replace("{id}", str(task_id)).replace("{wish}", "cancel"))
    for method in ("GET", "HEAD"):
        told = await browser.ask(
            method, f"{TASKS}/{task_id}/cancel", headers={"X-Odl": "1", "X-HTTP-Method-Override": "POST"}
        )
        assert told.status == 405
    assert (still.sql("SELECT * FROM odl_task"), still.sql("SELECT * FROM OfflineDownloadRecord")) == dump


# --- two users


async def test_what_is_somebody_elses_is_told_like_what_is_not(still: House) -> None:
    (theirs,) = await still.bob.add("https://example.com/private")
    unknown = 999_999_999

    async def told(task_id: int) -> list[tuple[int, str]]:
        answers = [
            await still.ann.ask("GET", f"{TASKS}/{task_id}"),
            await still.ann.ask("GET", f"{TASKS}/{task_id}/why"),
            *[
                await still.ann.ask("POST", f"{TASKS}/{task_id}/{wish}")
                for wish in ("pause", "resume", "cancel", "retry")
            ],
            await still.ann.ask("POST", f"{TASKS}/bulk", {"wish": "cancel", "ids": [task_id]}),
        ]
        return [(answer.status, answer.text.replace(str(task_id), "ID")) for answer in answers]

    about_theirs = await told(theirs)
    assert about_theirs == await told(unknown)
    assert [status for status, _ in about_theirs] == [404] * 6 + [200]
    task = (await still.bob.get(f"{TASKS}/{theirs}"))["task"]
    assert (task["phase"], task["wish"]) == ("waiting", None)
    for query in ({"q": "private"}, {"cursor": str(theirs + 1)}, {"tab": "waiting"}):
        assert theirs not in [each["id"] for each in (await still.ann.get(TASKS, **query))["tasks"]]
    await still.ann.post(f"{TASKS}/bulk", {"wish": "cancel", "tab": "all", "q": "private"})
    assert (await still.bob.get(f"{TASKS}/{theirs}"))["task"]["wish"] is None


async def test_nobody_speaks_for_somebody_else(still: House) -> None:
    for owner in (BOB, "*", "nobody@example.com"):
        for told in (
            await still.ann.ask("GET", TASKS, query={"owner": owner}),
            await still.ann.ask("POST", TASKS, {"urls": ["https://example.com/"], "owner": owner}),
            await still.ann.ask("POST", f"{TASKS}/bulk", {"wish": "cancel", "tab": "all", "owner": owner}),
            await still.ann.ask("GET", "/api/v1/events", query={"owner": owner}),
        ):
            assert (told.status, told.reason) == (403, "admins_only")
    assert (await still.ann.ask("GET", TASKS, query={"owner": ANN})).status == 200


async def test_no_header_makes_somebody_else_of_anybody(still: House) -> None:
    for name in ("X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Owner", "X-Odl-Owner", "X-Real-IP"):
        assert (await still.ann.ask("GET", "/api/v1/me", headers={name: BOB})).json["owner"] == ANN
        assert (await still.nobody.ask("GET", "/api/v1/me", headers={name: BOB})).status == 401


# --- strangers' words


TRICKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "';alert(String.fromCharCode(88,83,83))//",
    "</title><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "\u202egnp.exe",
    "<!--#exec cmd='id'-->",
    "%0d%0aSet-Cookie: a=b",
    "&#x3C;b&#x3E;",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_words_of_strangers_come_back_as_json_and_nothing_else(still: House, trick: str) -> None:
    owner = f"{trick}@example.com"
    mallory = await still.client(owner)
    url = f"https://example.com/{trick.replace(' ', '+')}?{trick.replace(' ', '+')}"
    (task_id,) = await mallory.add(url)
    still.sql("UPDATE OfflineDownloadRecord SET comment = ?, path = ? WHERE odr_id = ?", (trick, trick, task_id))
    still.sql("UPDATE odl_task SET name = ? WHERE odr_id = ?", (trick, task_id))
    for told in (
        await mallory.ask("GET", TASKS),
        await mallory.ask("GET", f"{TASKS}/{task_id}"),
        await mallory.ask("GET", "/api/v1/me", headers={"Accept": "text/html"}),
        await mallory.ask("GET", f"/{trick}", headers={"Accept": "text/html"}),
        await mallory.ask("GET", TASKS, query={"tab": trick}, headers={"Accept": "text/html"}),
        await mallory.ask("POST", TASKS, {trick: 1}, headers={"Accept": "text/html"}),
        await still.boss.ask("GET", TASKS, query={"owner": owner}),
    ):
        assert told.headers["Content-Type"] == "application/json; charset=utf-8"
        assert_safe(told.headers)
        json.loads(told.text)
        assert "a" not in told.cookies
    task = (await mallory.get(f"{TASKS}/{task_id}"))["task"]
    assert (task["owner"], task["comment"], task["name"], task["path"]) == (owner, trick, trick, trick)


# --- bombs


def deep(opening: str, closing: str, levels: int = 100_000) -> bytes:
    return (opening * levels + closing * levels).encode()


BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "half": b'{"urls": [',
    "text": b"hello",
    "deep lists": deep("[", "]"),
    "deep objects": deep('{"a":', "}", 80_000),
    "deep inside": b'{"urls": ' + deep("[", "]", 50_000) + b"}",
    "a number of many digits": b'{"urls": [], "name": ' + b"9" * 100_000 + b"}",
    "a number beyond all": b'{"ids": [1e999], "wish": "pause"}',
    "NaN": b'{"urls": NaN}',
    "Infinity": b'{"urls": [Infinity]}',
    "a name twice": b'{"urls": ["https://example.com/a"], "urls": ["https://example.com/b"]}',
    "a name twice inside": b'{"urls": [{"a": 1, "a": 2}]}',
    "a lone surrogate": b'{"urls": ["https://example.com/\\ud800"]}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "a lone surrogate in a path": b'{"urls": ["https://example.com/"], "path": "/\\ud800"}',
    "NUL": b'{"urls": ["https://example.com/\\u0000"]}',
    "NUL in a path": b'{"urls": ["https://example.com/"], "path": "/a\\u0000b"}',
    "NUL in a name": b'{"urls": ["https://example.com/"], "name": "a\\u0000b"}',
    "escape in a path": b'{"urls": ["https://example.com/"], "path": "/\\u001b[2J"}',
    "not UTF-8": b'{"urls": ["https://example.com/\xff\xfe"]}',
    "overlong UTF-8": b'{"urls": ["https://example.com/\xc0\xaf"]}',
    "half of UTF-16": b"\xff\xfe{\x00",
    "a byte order mark": b'\xef\xbb\xbf{"urls": []}',
    "a comment": b'{"urls": [] /* none */}',
    "many names": json.dumps({f"a{number}": number for number in range(30_000)}).encode(),
    "a long name": json.dumps({"a" * 500_000: 1}).encode(),
    "many links": json.dumps({"urls": ["x"] * 100_000}).encode(),
    "a long link": json.dumps({"urls": ["https://example.com/" + "x" * 500_000]}).encode(),
    "many lines": json.dumps({"text": "x\n" * 150_000}).encode(),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_means_harm_is_refused_in_a_few_words(still: House, body: bytes) -> None:
    assert len(body) <= 512 * 1024
    before = still.daemon.log()
    for path in (TASKS, f"{TASKS}/bulk", "/api/v1/session"):
        told = await still.ann.ask("POST", path, raw=body, headers={"X-Odl": "1"})
        refused = told.status == 400 or (told.status == 200 and told.json["results"][0]["error"] is not None)
        assert refused, told
        assert len(told.text) < 6000
    assert still.daemon.log() == before
    assert (await still.ann.ask("GET", "/api/v1/me")).status == 200


async def test_a_body_may_have_512_kib_and_not_a_byte_more(still: House) -> None:
    body = json.dumps({"urls": ["https://example.com/full"]}).encode()
    full = body + b" " * (512 * 1024 - len(body))
    assert (await still.ann.ask("POST", TASKS, raw=full)).status == 200
    told = await still.ann.ask("POST", TASKS, raw=full + b" ")
    assert (told.status, told.reason) == (413, "too_large")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 16 * 1024

    told = await still.ann.ask("POST", TASKS, raw=pieces())  # type: ignore[arg-type]  # aiohttp sends it in chunks
    assert (told.status, told.reason) == (413, "too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_grows_when_it_is_unpacked_is_refused(still: House, coding: str) -> None:
    import gzip
    import zlib

    bomb = gzip.compress(b" " * 50_000_000) if coding == "gzip" else zlib.compress(b" " * 50_000_000)
    told = await still.ann.ask("POST", TASKS, raw=bomb, headers={"Content-Encoding": coding})
    assert told.status in (400, 413)
    told = await still.ann.ask("POST", TASKS, raw=b"no gzip at all", headers={"Content-Encoding": coding})
    assert (told.status, told.reason) == (400, "bad_request")


async def test_an_address_has_its_length(still: House) -> None:
    told = await still.ann.ask("GET", f"/api/v1/me?{'x' * 4096}")
    assert (told.status, told.reason) == (414, "too_long")
    told = await still.ann.ask("GET", TASKS, query={"q": "\N{SNOWMAN}" * 200})
    assert (told.status, told.json["tasks"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=%ff", "q=%ed%a0%80", "q=%", "q=%zz", "limit=%d9%a3", "cursor=1e3", "owner=%00", "tab[]=all"],
)
async def test_a_query_that_means_harm_is_no_trouble(still: House, query: str) -> None:
    for path in (TASKS, "/api/v1/events", "/api/v1/admin/blocks"):
        assert await status(still, head(still, f"GET {path}?{query} HTTP/1.1")) in (200, 400, 403)


async def test_many_cookies_are_no_trouble(still: House, browser: Client) -> None:
    for cookie in (
        "a=b; " * 1000 + browser.cookie,
        f"{browser.cookie}; {browser.cookie}",
        'odl_session="; odl_session=\\"',
        "odl_session=" + "x" * 5000,
        "=;;==; \x80=\x81",
        "odl_session=odl_\xe9",
    ):
        assert await status(still, head(still, Cookie=cookie, Authorization="Basic eA==")) in (200, 401)


async def test_a_crowd_of_bad_tokens_is_slowed_down(still: House) -> None:
    """Somebody who asks without a pause hears 429 before long, and how long to wait."""
    host, _, port = still.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.%d\r\n\r\n"
    text = b""

    async def ask() -> None:
        for number in range(6000):
            writer.write(request % (number % 250))
            await writer.drain()

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask(), name="somebody who asks without a pause")
        while b" 429 " not in text:
            text = text[-200:] + await reader.read(65_536)
        while b"Retry-After: 1" not in text:
            text += await reader.read(65_536)
        asking.cancel()
    writer.transport.abort()


# --- what stays secret


async def test_keys_are_told_nowhere(still: House, browser: Client) -> None:
    """The log, the tables, the list and errors know a digest at most."""
    once = await still.key(ANN, once=True)
    secrets = [still.ann.token, still.boss.token, once, browser.cookie.partition("=")[2]]
    told: list[Told] = []
    for secret in secrets:
        told += [
            await still.nobody.ask("GET", f"/api/v1/{secret}"),
            await still.nobody.ask("POST", "/api/v1/session", {"token": secret, "x": 1}, headers={"X-Odl": "1"}),
            await still.nobody.ask("POST", "/api/v1/session", {"token": [secret]}, headers={"X-Odl": "1"}),
            await still.nobody.ask(
                "POST", "/api/v1/session", raw=f'{{"token": "{secret}"'.encode(), headers={"X-Odl": "1"}
            ),
            await still.nobody.ask("GET", TASKS, headers={"Authorization": f"Bearer {secret} {secret}"}),
        ]
    shown = "".join(each.text for each in told)
    shown += (await still.daemon.odl("token", "list")).out + (await still.daemon.odl("token", "list", "--json")).out
    shown += still.daemon.log()
    for file in still.daemon.folder.glob("odl.db*"):
        shown += file.read_bytes().decode("latin-1")
    for secret in secrets:
        assert secret not in shown
        assert secret.removeprefix("odl_") not in shown
