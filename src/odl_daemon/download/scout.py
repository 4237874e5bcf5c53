"""Looks at a link before it is handed over: where it leads, what it is called, how large it is."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from aiohttp import content_disposition_filename, parse_content_disposition

from odl_daemon.download import failures
from odl_daemon.download.probe import Answer, NoAnswer, Prober
from odl_daemon.guard.guests import NO_TASK, Guests
from odl_daemon.ports import Sight


class LinkScout:
    """ports.Scout over the connections that downloads have, too: what they may not reach is not looked at."""

    def __init__(self, prober: Prober, guests: Guests) -> None:
        self._prober = prober
        self._guests = guests

    async def look(self, url: str, owner: str) -> Sight:
        host, who = urlsplit(url).hostname or "", f"a look of {owner}"
        with self._guests.present(who, owner=owner, task=NO_TASK, host=host):
            try:
                answer = await self._prober.ask(url, who)
            except NoAnswer as error:
                raise failures.unreachable(host) from error
        if answer.status >= 400 and answer.status not in (405, 501):
            raise failures.refusal(answer.status, host, after=answer.after)
        return Sight(answer.url or url, _name(answer, url), answer.length, answer.ranges and answer.length is not None)


def _name(answer: Answer, url: str) -> str:
    """What the source says, or what its address ends with."""
    _, parameters = parse_content_disposition(answer.disposition)
    told = content_disposition_filename(parameters, "filename")
    if told:
        return told.replace("\\", "/").rpartition("/")[2]
    return unquote(urlsplit(answer.url or url).path.rpartition("/")[2])
