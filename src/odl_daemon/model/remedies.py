"""What the user of a task that failed can do about it: one action for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from odl_daemon.model.task import Phase, Reason, Task


class Action(StrEnum):
    """What helps."""

    RETRY = "retry"
    """The same again, later."""
    RAISE_LIMIT = "raise_limit"
    """The administrator allows more."""
    GIVE_LOGIN = "give_login"
    """A link with a login in it."""
    FREE_SPACE = "free_space"
    """Delete something from the library."""
    NEW_LINK = "new_link"
    """Another link to the same file."""


ACTIONS: Final[Mapping[Reason, Action | None]] = {
    Reason.NONE: None,
    Reason.BAD_URL: Action.NEW_LINK,
    Reason.BAD_TARGET: None,
    Reason.LIBRARY_MISSING: None,
    Reason.LIBRARY_DAMAGED: None,
    Reason.LIBRARY_ENCRYPTED: None,
    Reason.LIBRARY_READ_ONLY: None,
    Reason.LIBRARY_AWAY: Action.RETRY,
    Reason.NOT_ALLOWED: None,
    Reason.FOLDER_MISSING: None,
    Reason.OVER_QUOTA: Action.FREE_SPACE,
    Reason.NOT_FOUND: Action.NEW_LINK,
    Reason.FORBIDDEN: Action.NEW_LINK,
    Reason.LOGIN_NEEDED: Action.GIVE_LOGIN,
    Reason.HTTP_ERROR: Action.NEW_LINK,
    Reason.SERVER_ERROR: Action.RETRY,
    Reason.SERVER_BUSY: Action.RETRY,
    Reason.UNREACHABLE: Action.RETRY,
    Reason.TIMEOUT: Action.RETRY,
    Reason.STALLED: Action.RETRY,
    Reason.INTERRUPTED: Action.RETRY,
    Reason.REDIRECT_LOOP: Action.NEW_LINK,
    Reason.TOO_LARGE: Action.RAISE_LIMIT,
    Reason.OVER_LIMIT: Action.RAISE_LIMIT,
    Reason.CHANGED: Action.RETRY,
    Reason.BAD_NAME: Action.NEW_LINK,
    Reason.PROTOCOL_ERROR: Action.NEW_LINK,
    Reason.DISK_FULL: Action.RETRY,
    Reason.HOST_TROUBLE: Action.RETRY,
    Reason.COMMIT_FAILED: Action.RETRY,
    Reason.TIME_LIMIT: Action.RETRY,
    Reason.CANCELLED: Action.RETRY,
    Reason.INTERNAL: Action.RETRY,
}
"""None where only another target, or somebody else, helps: the sentence says who and how."""


def action_for(task: Task) -> Action | None:
    """What helps a task that has ended without its file."""
    if task.phase not in (Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED):
        return None
    return ACTIONS[task.reason]
