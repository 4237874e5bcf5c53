"""What goes wrong for a client of the HTTP door, as an answer with a status, a word, a sentence and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus


class Trouble(Exception):
    """The request is not carried out."""

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        sentence: str,
        action: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.action = action
        self.headers = headers or {}

    def as_json(self) -> dict[str, object]:
        return {"error": {"reason": self.reason, "sentence": self.sentence, "action": self.action}}


def bad_request(sentence: str) -> Trouble:
    return Trouble(HTTPStatus.BAD_REQUEST, "bad_request", sentence)


def no_http() -> Trouble:
    return Trouble(HTTPStatus.BAD_REQUEST, "bad_request", "this is no HTTP that can be read")


def no_json_type() -> Trouble:
    return Trouble(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", "expected Content-Type: application/json")


def no_task(task_id: object) -> Trouble:
    """Also for a task that is somebody else's."""
    return Trouble(HTTPStatus.NOT_FOUND, "no_task", f"no task {task_id}")


def not_signed_in() -> Trouble:
    """The same for a key that never was, has run out, or was taken back."""
    return Trouble(HTTPStatus.UNAUTHORIZED, "not_signed_in", "sign in first", "sign_in", {"WWW-Authenticate": "Bearer"})


def admins_only() -> Trouble:
    return Trouble(HTTPStatus.FORBIDDEN, "admins_only", "this is for administrators")


def cross_site() -> Trouble:
    return Trouble(
        HTTPStatus.FORBIDDEN, "cross_site", "this request came from another site, or without the X-Odl header"
    )


def wrong_host() -> Trouble:
    return Trouble(
        HTTPStatus.MISDIRECTED_REQUEST,
        "wrong_host",
        "the daemon is not known by this name: set [http] public_url to how its users reach it",
    )


def too_long() -> Trouble:
    return Trouble(HTTPStatus.REQUEST_URI_TOO_LONG, "too_long", "the address of the request is too long")


def too_large() -> Trouble:
    sentence = "a request may have 512 KiB at most"
    return Trouble(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", sentence)


def too_slow() -> Trouble:
    return Trouble(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "the request did not come in time", "retry")


def too_fast(seconds: int) -> Trouble:
    sentence = f"too many requests: try again in {seconds} s"
    return Trouble(HTTPStatus.TOO_MANY_REQUESTS, "too_fast", sentence, "retry", {"Retry-After": str(seconds)})


def too_many_streams(most: int) -> Trouble:
    sentence = f"one user may watch {most} times at once: close some"
    return Trouble(HTTPStatus.TOO_MANY_REQUESTS, "too_many_streams", sentence, "retry", {"Retry-After": "10"})


def away(sentence: str) -> Trouble:
    return Trouble(HTTPStatus.SERVICE_UNAVAILABLE, "away", sentence, "retry", {"Retry-After": "5"})


def database_away() -> Trouble:
    """Before anything was done."""
    return away("the database does not answer: try again in a moment")


def no_word_of_it() -> Trouble:
    """It may be done or not: what waits for the database is done as soon as it answers."""
    return away("the database does not answer: look whether it was done before you try again")


def broken() -> Trouble:
    return Trouble(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong here", "retry")
