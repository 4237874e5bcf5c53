"""What goes wrong for a client of the HTTP door, as an answer with a status, a word, a sentence and what helps."""

from __future__ import annotations

from http import HTTPStatus


class Trouble(Exception):
    """The request is not carried out."""

    def __init__(self, status: HTTPStatus, reason: str, sentence: str, action: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.action = action

    def as_json(self) -> dict[str, object]:
        return {"error": {"reason": self.reason, "sentence": self.sentence, "action": self.action}}


def bad_request(sentence: str) -> Trouble:
    return Trouble(HTTPStatus.BAD_REQUEST, "bad_request", sentence)


def no_task(task_id: object) -> Trouble:
    """Also for a task that is somebody else's."""
    return Trouble(HTTPStatus.NOT_FOUND, "no_task", f"no task {task_id}")


def not_signed_in() -> Trouble:
    return Trouble(HTTPStatus.UNAUTHORIZED, "not_signed_in", "sign in first", "sign_in")


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


def too_fast(seconds: int) -> Trouble:
    return Trouble(HTTPStatus.TOO_MANY_REQUESTS, "too_fast", f"too many requests: try again in {seconds} s", "retry")


def away(sentence: str) -> Trouble:
    return Trouble(HTTPStatus.SERVICE_UNAVAILABLE, "away", sentence, "retry")
