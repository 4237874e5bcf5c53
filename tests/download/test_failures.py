"""Each failure has a reason, a remedy, and one sentence that its user may read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.download.failures import refusal, trouble
from odl_daemon.model.task import Reason
from odl_daemon.ports import Remedy


@pytest.mark.parametrize(
    ("code", "message", "reason", "remedy"),
    [
        (3, "Resource not found", Reason.NOT_FOUND, Remedy.NONE),
        (4, "Max file not found", Reason.NOT_FOUND, Remedy.NONE),
        (24, "Authorization failed.", Reason.LOGIN_NEEDED, Remedy.NONE),
        (22, "The response status is not successful. status=403", Reason.FORBIDDEN, Remedy.NONE),
        (22, "The response status is not successful. status=416", Reason.CHANGED, Remedy.WIPE),
        (22, "The response status is not successful. status=429", Reason.SERVER_BUSY, Remedy.RETRY),
        (22, "The response status is not successful. status=408", Reason.TIMEOUT, Remedy.RETRY),
        (22, "The response status is not successful. status=451", Reason.HTTP_ERROR, Remedy.NONE),
        (29, "The response status is not successful. status=504", Reason.SERVER_ERROR, Remedy.RETRY),
        (29, "", Reason.SERVER_BUSY, Remedy.RETRY),
        (1, "Proxy connection failed.", Reason.UNREACHABLE, Remedy.RETRY),
        (22, "The response status is not successful. status=521", Reason.UNREACHABLE, Remedy.RETRY),
        (19, "Could not resolve host", Reason.UNREACHABLE, Remedy.RETRY),
        (1, "Got EOF from the server.", Reason.INTERRUPTED, Remedy.RETRY),
        (
            1,
            "SSL/TLS handshake failure: The TLS connection was non-properly terminated.",
            Reason.PROTOCOL_ERROR,
            Remedy.NONE,
        ),
        (1, "Redirect to file:///etc/passwd failed. It may not be a valid URI.", Reason.PROTOCOL_ERROR, Remedy.NONE),
        (1, "Content-Length must be positive integer", Reason.PROTOCOL_ERROR, Remedy.RETRY),
        (1, "Transfer encoding rot13 is not supported.", Reason.PROTOCOL_ERROR, Remedy.RETRY),
        (1, "gopher is not supported yet.", Reason.PROTOCOL_ERROR, Remedy.NONE),
        (2, "Timeout.", Reason.TIMEOUT, Remedy.RETRY),
        (5, "Too slow", Reason.STALLED, Remedy.RETRY),
        (8, "Invalid range header.", Reason.CHANGED, Remedy.WIPE),
        (9, "Not enough disk space", Reason.DISK_FULL, Remedy.HOST),
        (15, "Failed to open /var/lib/x", Reason.HOST_TROUBLE, Remedy.HOST),
        (16, "Failed to create", Reason.BAD_NAME, Remedy.NONE),
        (17, "I/O error, network problem", Reason.HOST_TROUBLE, Remedy.HOST),
        (18, "Failed to make the directory", Reason.HOST_TROUBLE, Remedy.HOST),
        (23, "Too many redirects: count=20", Reason.REDIRECT_LOOP, Remedy.NONE),
        (32, "Checksum error", Reason.CHANGED, Remedy.WIPE),
    ],
)
def test_a_failure_has_its_reason_and_its_remedy(code: int, message: str, reason: Reason, remedy: Remedy) -> None:
    found = trouble(code, message, "example.org")
    assert (found.reason, found.remedy) == (reason, remedy)


def test_the_sentence_names_host_and_number() -> None:
    assert trouble(3, "", "example.org").sentence == "example.org answered 404: there is no such file"


def test_the_wait_that_a_server_asks_for_is_kept_only_where_a_retry_follows() -> None:
    assert refusal(503, "h", after=7.0).after == 7.0
    assert refusal(404, "h", after=7.0).after is None


@given(code=st.integers(-1, 99), message=st.text())
def test_no_message_of_aria2_is_ever_quoted(code: int, message: str) -> None:
    canary = "/srv/scratch/77/secret?token=x"
    sentence = trouble(code, f"{message} {canary}", "example.org").sentence
    assert canary not in sentence
    assert sentence == sentence.strip()
    assert "{" not in sentence


@given(status=st.integers(400, 599))
def test_every_refusal_ends_in_a_sentence(status: int) -> None:
    found = refusal(status, "example.org")
    assert found.sentence.startswith("example.org ")
    assert found.reason is not Reason.NONE
