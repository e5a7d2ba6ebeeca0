"""The phone that asks: REGISTER, OPTIONS, and calls. Requests are repeated and given up as RFC 3261 §17.1 says.

    INVITE       after T1, doubling, until anything answers it; a provisional ends the repeats
    all others   after T1, doubling up to T2; every T2 once a provisional came

Both end after 64 T1 (Timers B and F), or earlier when the caller's patience does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from sipcli_message import Message, challenge_of, credentials, new_branch, text_of, uri_in
from sipcli_wire import Wire

T1 = 0.5
T2 = 4.0
TIMER_B = 64 * T1

Judge = Callable[[Message], bool]


class Client:
    """One user agent on one socket: every request of one run shares Call-ID and From tag."""

    def __init__(self, wire: Wire, domain: str, user: str, call_id: str = "", patience: float = 4.0) -> None:
        self.wire = wire
        self.domain = domain
        self.user = user
        self.patience = patience
        self.call_id = call_id or f"{secrets.token_hex(8)}@{wire.address}"
        self.tag = secrets.token_hex(4)
        self.provisional = False  # has the request that was asked last had one?
        self.contact = f"Contact: <sip:{user}@{wire.address}>"

    def request(
        self, method: str, uri: str, cseq: int, to: str, branch: str = "", extra: tuple[str, ...] = ()
    ) -> bytes:
        return text_of(
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.wire.address};rport;branch={branch or new_branch()}",
            f"From: <sip:{self.user}@{self.domain}>;tag={self.tag}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            *extra,
        )

    def ask(self, datagram: bytes, cseq: str, until: Judge, patience: float = 0) -> Message | None:
        """Sends, repeats, and returns the first response that `until` accepts; None when it did not come in time.

        A final response to an INVITE other than the one that is waited for ends nothing: it is for the caller to
        say what it waits for."""
        invite = cseq.endswith("INVITE")
        began = time.monotonic()
        deadline = began + (patience or self.patience)
        interval, repeat, heard = T1, began, False
        self.provisional = False
        while (now := time.monotonic()) < deadline:
            if not heard and now - began >= TIMER_B:
                return None
            if now >= repeat and not (invite and heard):
                self.wire.send(datagram)
                repeat = now + interval
                interval = interval * 2 if invite else min(interval * 2, T2)
            wait = deadline if invite and heard else min(repeat, deadline)
            got = self.wire.receive(wait - now)
            if got is None or not got[0].status:
                continue
            if until(got[0]):
                return got[0]
            if got[0].answers(cseq) and not heard:
                self.provisional = heard = True
                interval = T2
        return None

    def ask_with_credentials(
        self, make: Callable[[int, tuple[str, ...]], bytes], method: str, uri: str, password: str, wait: Judge | None
    ) -> tuple[Message | None, int]:
        """The final response and the CSeq number of the request that got it; one challenge is answered."""
        response = None
        extra: tuple[str, ...] = ()
        for cseq in (1, 2):
            asked = f"{cseq} {method}"
            response = self.ask(make(cseq, extra), asked, wait or final_of(asked))
            if response is None or response.status not in (401, 407) or cseq == 2:
                return response, cseq
            name = "Authorization" if response.status == 401 else "Proxy-Authorization"
            try:
                answer = credentials(challenge_of(response), self.user, password, method, uri)
            except (KeyError, ValueError):  # a challenge of an algorithm that we do not have
                return response, cseq
            extra = (f"{name}: {answer}",)
            self.refused(response, cseq)
        return response, 2

    def refused(self, response: Message, cseq: int) -> None:
        """A failure of an INVITE is acknowledged hop by hop, on the INVITE's branch (§17.1.1.3)."""
        if response.method == "INVITE":
            uri = uri_in(response.header("to"))
            self.wire.send(self.request("ACK", uri, cseq, response.header("to"), response.branch))


def final_of(cseq: str) -> Judge:
    return lambda response: response.status >= 200 and response.answers(cseq)


def register(client: Client, contact: str, password: str, expires: int = 3600) -> Message | None:
    uri = f"sip:{client.domain}"
    to = f"<sip:{client.user}@{client.domain}>"
    lines = (f"Contact: <sip:{client.user}@{contact}>", f"Expires: {expires}")

    def make(cseq: int, extra: tuple[str, ...]) -> bytes:
        return client.request("REGISTER", uri, cseq, to, extra=(*lines, *extra))

    return client.ask_with_credentials(make, "REGISTER", uri, password, None)[0]


def options(client: Client) -> Message | None:
    uri = f"sip:{client.domain}"
    return client.ask(client.request("OPTIONS", uri, 1, f"<{uri}>"), "1 OPTIONS", final_of("1 OPTIONS"))


def invite(client: Client, callee: str) -> Message | None:
    """The first response; then the call is taken back."""
    uri = f"sip:{callee}@{client.domain}"
    branch = new_branch()
    offer = client.request("INVITE", uri, 1, f"<{uri}>", branch, (client.contact,))
    first = client.ask(offer, "1 INVITE", lambda response: response.answers("1 INVITE"))
    last = first
    if first is not None and first.status < 200:
        # RFC 3261 §9.1: the CANCEL bears the branch of its INVITE. Its 200 and the INVITE's 487 come in any order.
        last = client.ask(client.request("CANCEL", uri, 1, f"<{uri}>", branch), "1 CANCEL", final_of("1 INVITE"))
    if last is not None and last.status >= 300:
        client.refused(last, 1)
    elif last is not None:  # the 200 crossed the CANCEL: take the call and end it
        hang_up(client, last, 1)
    return first


def call(client: Client, callee: str, talk: float, password: str) -> tuple[Message | None, Message | None]:
    """A whole call: INVITE, wait for the answer, ACK, talk, BYE. The final responses of both."""
    uri = f"sip:{callee}@{client.domain}"
    branches = ("", new_branch(), new_branch())

    def make(cseq: int, extra: tuple[str, ...]) -> bytes:
        return client.request("INVITE", uri, cseq, f"<{uri}>", branches[cseq], (client.contact, *extra))

    answer, cseq = client.ask_with_credentials(make, "INVITE", uri, password, None)
    if answer is None and client.provisional:  # it rang for too long
        cancel = client.request("CANCEL", uri, cseq, f"<{uri}>", branches[cseq])
        answer = client.ask(cancel, f"{cseq} CANCEL", final_of(f"{cseq} INVITE"), TIMER_B)
    if answer is None or answer.status >= 300:
        if answer is not None:
            client.refused(answer, cseq)
        return answer, None
    return answer, hang_up(client, answer, cseq, talk)


def hang_up(client: Client, answer: Message, cseq: int, talk: float = 0.0) -> Message | None:
    """ACK, and after `talk` seconds BYE, along the route set of the dialog; the answer to the BYE."""
    target = uri_in(answer.header("contact")) or f"sip:{client.domain}"
    routes = tuple(f"Route: {value}" for value in reversed(answer.listed("record-route")))
    to = answer.header("to")
    ack = client.request("ACK", target, cseq, to, extra=routes)
    client.wire.send(ack)
    over = time.monotonic() + talk
    while (left := over - time.monotonic()) > 0:
        got = client.wire.receive(left)
        if got is not None and got[0].status >= 200 and got[0].answers(f"{cseq} INVITE"):
            client.wire.send(ack)  # the 200 came again: the ACK was lost (§13.2.2.4)
    bye = f"{cseq + 1} BYE"
    return client.ask(client.request("BYE", target, cseq + 1, to, extra=routes), bye, final_of(bye), TIMER_B)
