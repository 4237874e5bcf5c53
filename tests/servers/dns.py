"""A name server whose answers a test writes, and changes while they are asked for."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """`async with NameServer() as names: names.hosts["a.test"] = [["192.0.2.1"]]`; it listens at `names.address`."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[list[str]]] = {}
        """For each name its answers, one after the other; the last one stays. An answer is a list of addresses."""
        self.aliases: dict[str, str] = {}
        self.silent: set[str] = set()
        """Names whose questions are never answered."""
        self.asked: Counter[str] = Counter()
        self.address = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if name in self.silent:
            return
        answer = dns.message.make_response(query)
        real = self.aliases.get(name, name)
        if real != name:
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "CNAME", f"{real}."))
        if real in self.hosts:
            addresses = self._next(real, question.rdtype)
            if addresses:
                kind = dns.rdatatype.to_text(question.rdtype)
                answer.answer.append(dns.rrset.from_text(f"{real}.", 0, "IN", kind, *addresses))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)

    def _next(self, name: str, kind: int) -> list[str]:
        """The addresses of this kind in the answer whose turn it is; a question for IPv4 takes the turn."""
        answers = self.hosts[name]
        if kind == dns.rdatatype.A:
            self.asked[name] += 1
        current = answers[min(max(self.asked[name] - 1, 0), len(answers) - 1)]
        version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(dns.rdatatype.RdataType(kind))
        return [each for each in current if ipaddress.ip_address(each).version == version]
