"""The API of tasks: handed over, listed, looked at, steered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from odl_daemon.engine.desk import ALLOWED_IN, Desk, NoTask, Refusal
from odl_daemon.engine.preflight import Foresight, Verdict
from odl_daemon.intake.http import models
from odl_daemon.intake.http.endpoint import Asked, Endpoint
from odl_daemon.intake.http.trouble import admins_only, away, bad_request, no_task
from odl_daemon.model import names, source
from odl_daemon.model.keys import Principal
from odl_daemon.model.remedies import ACTIONS, Action
from odl_daemon.model.shown import as_json, waiting
from odl_daemon.model.source import LONGEST, Unusable
from odl_daemon.model.tabs import TABS, tab_counts
from odl_daemon.model.task import Phase, Reason, Status, Task, Wish
from odl_daemon.ports import Filter, Request

EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class _Link:
    """One of the links that were handed over."""

    line: int
    text: str


class TasksApi:
    """Everything under /api/v1/tasks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def endpoints(self) -> list[Endpoint]:
        at = "/api/v1/tasks"
        return [
            Endpoint("GET", at, "List tasks, the newest first", self.list, models.Listed, query=models.ListQuery),
            Endpoint("POST", at, "Hand over links", self.submit, models.Results, body=models.Submission),
            Endpoint(
                "POST", "/api/v1/preflight", "Look at a link before", self.look, models.Preflight, body=models.Look
            ),
            Endpoint("POST", f"{at}/bulk", "Steer many tasks", self.bulk, models.Answers, body=models.Bulk),
            Endpoint("GET", f"{at}/{{id:[0-9]+}}", "Show a task", self.show, models.One),
            Endpoint("GET", f"{at}/{{id:[0-9]+}}/why", "Say what a task waits for", self.why, models.Why),
            Endpoint(
                "POST",
                f"{at}/{{id:[0-9]+}}/{{wish:pause|resume|cancel|retry}}",
                "Steer a task",
                self.wish,
                models.Answer,
            ),
        ]

    # --- looking

    async def list(self, asked: Asked) -> object:
        query = asked.query_as(models.ListQuery)
        owner = owner_of(asked.principal, query.owner)
        which = Filter(
            owner=owner,
            phases=_phases(query),
            statuses=frozenset(Status(number) for number in query.status),
            text=query.q,
        )
        async with asyncio.TaskGroup() as group:  # a server works on both at once
            counting = group.create_task(self._desk.phases(owner), name="counts of a list")
            tasks = await self._desk.tasks(which, query.limit + 1, query.cursor) if _is_possible(query) else []
            page, more = tasks[: query.limit], len(tasks) > query.limit
            waits = await self._desk.waits(page)
        return {
            "tasks": [as_json(task, waits.get(task.id)) for task in page],
            "next": page[-1].id if more else None,
            "counts": tab_counts(counting.result()),
        }

    async def show(self, asked: Asked) -> object:
        task = await self._own(asked)
        return {"task": as_json(task, (await self._desk.waits([task])).get(task.id))}

    async def why(self, asked: Asked) -> object:
        task = await self._own(asked)
        wait = (await self._desk.waits([task])).get(task.id)
        try:
            return {"sentence": await self._desk.why(task.id), "waits_for": wait and waiting(wait)}
        except NoTask as gone:
            raise no_task(task.id) from gone

    async def _own(self, asked: Asked) -> Task:
        """The task of the path, if its user, or an admin, asks."""
        found = await self._visible(asked.principal, [asked.id])
        if not found:
            raise no_task(asked.id)
        return found[0]

    async def _visible(self, principal: Principal, ids: Iterable[int]) -> Sequence[Task]:
        wanted = tuple(dict.fromkeys(ids))
        owner = "" if principal.admin else principal.owner
        return await self._desk.tasks(Filter(owner=owner, ids=wanted), len(wanted)) if wanted else []

    # --- steering

    async def wish(self, asked: Asked) -> object:
        task = await self._own(asked)
        (answer,) = await self._desk.wish([task.id], Wish(asked.request.match_info["wish"]))
        return {"id": answer.id, "granted": answer.granted, "sentence": answer.sentence}

    async def bulk(self, asked: Asked) -> object:
        body = asked.body_as(models.Bulk)
        if bool(body.ids) == (body.tab is not None):
            raise bad_request("name either ids or a tab")
        if body.tab is not None:
            return await self._wish_for_tab(asked.principal, body)
        visible = {task.id for task in await self._visible(asked.principal, body.ids)}
        answers = await self._desk.wish([each for each in body.ids if each in visible], body.wish)
        told = {answer.id: answer for answer in answers}
        results = [
            {"id": each, "granted": told[each].granted, "sentence": told[each].sentence}
            if each in told
            else {"id": each, "granted": False, "sentence": f"no task {each}"}
            for each in body.ids
        ]
        return {"results": results, "count": sum(answer.granted for answer in answers)}

    async def _wish_for_tab(self, principal: Principal, body: models.Bulk) -> object:
        phases = TABS[body.tab or "all"]
        if phases and not phases & ALLOWED_IN[body.wish]:
            return {"results": [], "count": 0}
        which = Filter(owner=owner_of(principal, body.owner), phases=phases, text=body.q)
        return {"results": [], "count": await self._desk.wish_all(which, body.wish)}

    # --- looking before

    async def look(self, asked: Asked) -> object:
        body = asked.body_as(models.Look)
        if self._desk.preflight is None:
            raise away("nobody can look at links here now")
        try:
            found = source.parse(body.url)
            request = Request(asked.principal.owner, body.library, names.folder_path(body.path), found.url)
        except ValueError as error:
            return _foreseen(body.url, Foresight(None, "", (Verdict("link", False, str(error)),)))
        return _foreseen(found.url, await self._desk.preflight.look(request))

    # --- handing over

    async def submit(self, asked: Asked) -> object:
        body = asked.body_as(models.Submission)
        links = _links(body)
        owner = asked.principal.owner if not body.owner else owner_of(asked.principal, body.owner)
        if owner == "":
            raise bad_request("owner: expected one user")
        results: list[dict[str, object]] = []
        requests: list[tuple[dict[str, object], Request]] = []
        for link in links:
            result: dict[str, object] = {"line": link.line, "url": link.text[:LONGEST], "task": None, "error": None}
            results.append(result)
            try:
                requests.append((result, _request(link, body, owner)))
            except ValueError as error:  # Unusable, too
                reason = Reason.BAD_URL if isinstance(error, Unusable) else Reason.BAD_TARGET
                result["error"] = _error(reason, str(error))
        answers = await self._desk.submit([request for _, request in requests])
        for (result, _), answer in zip(requests, answers, strict=True):
            if isinstance(answer, Refusal):
                result["error"] = _error(Reason.OVER_LIMIT, answer.sentence)
            else:
                result["task"] = as_json(answer)
        return {"results": results}


def _foreseen(url: str, found: Foresight) -> dict[str, object]:
    sight = found.sight
    return {
        "url": url,
        "final_url": sight.url if sight else url,
        "name": found.name,
        "size": sight.size if sight else None,
        "resumable": sight is not None and sight.resumable,
        "verdicts": [{"what": each.what, "ok": each.ok, "sentence": each.sentence} for each in found.verdicts],
    }


def owner_of(principal: Principal, asked: str) -> str:
    """Whose tasks are meant: his own, or for an admin those of the user that he names; "" for everybody's. Raises
    Trouble if somebody else names another user."""
    if not asked or asked == principal.owner:
        return principal.owner
    if not principal.admin:
        raise admins_only()
    return "" if asked == EVERYBODY else asked


def _phases(query: models.ListQuery) -> frozenset[Phase]:
    phases = frozenset(query.phase)
    tab = TABS[query.tab]
    return phases & tab if phases and tab else phases | tab


def _is_possible(query: models.ListQuery) -> bool:
    """Whether any task can be in the tab and in the phases that are asked for."""
    return bool(_phases(query)) or (not query.phase and not TABS[query.tab])


def _links(body: models.Submission) -> list[_Link]:
    """Every line that holds something; `#` begins a comment in a text, as in lists everywhere."""
    lines = [_Link(number, text) for number, text in enumerate(body.urls, start=1)]
    for number, text in enumerate(body.text.splitlines(), start=len(lines) + 1):
        if text.strip() and not text.lstrip().startswith("#"):
            lines.append(_Link(number, text.strip()))
    if not lines:
        raise bad_request("no link was given: expected urls, or text with a link a line")
    if len(lines) > models.URLS_AT_ONCE:
        raise bad_request(f"at most {models.URLS_AT_ONCE} links at a time are taken, not {len(lines)}")
    if body.name and len(lines) > 1:
        raise bad_request("a name can be given for a single link only")
    return lines


def _request(link: _Link, body: models.Submission, owner: str) -> Request:
    """Raises ValueError with a sentence."""
    if len(link.text) > LONGEST:
        raise Unusable(f"a link of {len(link.text):,} characters: at most {LONGEST:,} are taken")
    found = source.parse(link.text)
    name = names.safe_name(body.name) if body.name else ""
    return Request(owner, body.library, names.folder_path(body.path), found.url, name, found.kind, body.mkdir)


def _error(reason: Reason, sentence: str) -> dict[str, object]:
    action = ACTIONS[reason] or (Action.NEW_LINK if reason is Reason.BAD_URL else None)
    return {"reason": reason.value, "sentence": sentence, "action": action}
