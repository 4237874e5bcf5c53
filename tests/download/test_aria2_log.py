"""aria2's own words: kept, and without secrets."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.download.aria2_log import LAST, Aria2Log, redacted

SECRET = "c4n4ry"
secrets = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=12).map(
    lambda noise: f"{noise}{SECRET}{noise}"
)
around = st.text(string.ascii_letters + " .,:=[]()'\"", max_size=30)


@given(before=around, scheme=st.sampled_from(["http", "https", "ftp", "HTTPS"]), secret=secrets, after=around)
@pytest.mark.parametrize(
    "link",
    [
        "{scheme}://user:{quoted}@host/a/b",
        "{scheme}://{quoted}@host:8080",
        "{scheme}://host/a/b?token={quoted}",
        "{scheme}://host?{secret}",
        "{scheme}://host/a/b#{secret}",
        "{scheme}://host/a;session={secret}",
        "{scheme}://user:{quoted}@[2001:db8::1]:80/?x={secret}#{secret}",
        "{scheme}://user:a/{secret}@host/a",
        "{scheme}://user:a?{secret}@host/a",
        "{scheme}://user:a#{secret}@host/a",
    ],
)
def test_no_secret_of_a_link_is_kept(link: str, before: str, scheme: str, secret: str, after: str) -> None:
    """aria2 CVE-2019-3500: its log holds the logins of links."""
    told = link.format(scheme=scheme, secret=secret, quoted=quote(secret, safe=""))
    assert SECRET not in redacted(f"{before} {told} {after}")
    assert SECRET not in redacted(f"{before}{told}")


@given(
    before=around,
    secret=secrets,
    name=st.sampled_from(["Authorization", "proxy-authorization", "Cookie", "Set-Cookie"]),
)
def test_no_credential_of_a_header_is_kept(before: str, secret: str, name: str) -> None:
    assert SECRET not in redacted(f"{before} {name}: Basic {secret}")
    assert SECRET not in redacted(f"{before} header={name}:{secret}")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("URI=https://u:p@example.org:8443/a/b.iso?x=1#y", "URI=https://example.org:8443/a/b.iso"),
        ("[ERROR] CUID#7 - Download aborted. URI=http://[2001:db8::1]/x", "[ERROR] CUID#7 - Download aborted. URI=http://[2001:db8::1]/x"),
        ("GET /f?token=1 HTTP/1.1", "GET /f HTTP/1.1"),
        ("two: http://a/1?q http://u@b/2", "two: http://a/1 http://b/2"),
        ("nothing to hide: 100%", "nothing to hide: 100%"),
        ("Authorization: Bearer x", "Authorization ***"),
    ],
)  # fmt: skip
def test_the_rest_of_a_line_is_kept(line: str, kept: str) -> None:
    assert redacted(line) == kept


def test_the_last_lines_can_be_quoted_without_a_file() -> None:
    with Aria2Log(None) as log:
        for number in range(LAST + 5):
            log.heard(f"line {number} http://u:p@host/")
    assert log.tail() == [f"line {number} http://host/" for number in range(5, LAST + 5)]


def test_every_line_is_in_the_file_when_the_block_is_left(tmp_path: Path) -> None:
    with Aria2Log(tmp_path / "aria2.log") as log:
        for number in range(100):
            log.heard(f"line {number} %s https://u:p@host/?q")
    lines = (tmp_path / "aria2.log").read_text().splitlines()
    assert lines == [f"line {number} %s https://host/" for number in range(100)]


def test_the_file_is_rotated(tmp_path: Path) -> None:
    with Aria2Log(tmp_path / "aria2.log", max_bytes=1000, keep=2) as log:
        for _ in range(100):
            log.heard("x" * 99)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["aria2.log", "aria2.log.1", "aria2.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)


def test_a_disk_that_takes_nothing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with Aria2Log(Path("/dev/full")) as log:
        for _ in range(10):
            log.heard("a line")
    assert [record.getMessage() for record in caplog.records] == ["the log of aria2 cannot be written to /dev/full"]
    assert log.tail() == ["a line"] * 10
