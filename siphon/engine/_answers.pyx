"""A plain answer in C: the final that the on_request handlers have armed for a request that is no INVITE.

What registrar.save(), a challenge, a reply() to OPTIONS or to a wrong number end in. The same as outcomes.request_done
and what that calls; whatever else it is, is left to them as if nothing had happened; nothing has.
`check(record before, request, outcome, record, response, now)` compares each decision with theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from siphon.script._actions cimport Answer
from siphon.script._outcome cimport Outcome
from siphon.sip._blake cimport Cipher
from siphon.sip._build_cy cimport response_of
from siphon.sip._hex cimport put_digits
from siphon.sip._message_cy cimport SipMessage
from siphon.state._codec cimport write
from siphon.state._record cimport Claim, Record

from siphon.state.record import ClaimKind
from siphon.transaction import non_invite_server

cdef enum:
    TRYING = 6              # states of the table in siphon/transaction
    COMPLETED = 8
    REQUEST = 1             # a ClaimKind

if (non_invite_server.State.TRYING, non_invite_server.State.COMPLETED, ClaimKind.REQUEST) != (
        TRYING, COMPLETED, REQUEST):
    raise ImportError("the states of non-INVITE server transactions have changed")


@cython.final
cdef class PlainAnswers:
    """The short way of one Environment."""

    def __init__(self, env, check=None):
        self.env = env
        self.check = check

    cdef bytes decide(self, Record r, SipMessage m, Outcome outcome, double now):
        """The response, and the record as it is once that was sent, where the transaction is to be kept. None: it is
        not plain, and nothing has happened."""
        cdef bytes before = b"", data
        cdef Answer action
        if m is None or not self.may(r, outcome):
            return None
        if self.check is not None:
            before = write(r)
        action = <Answer>outcome.action
        headers = action.headers
        if action.content_type:
            headers = [*headers, ("Content-Type", action.content_type)]
        tag = outcome.reply_to_tag.encode() if outcome.reply_to_tag and not r.to_tag else self.tag_of(r)
        data = response_of(m, action.status, action.reason, tag, headers, action.body, self.env.server)
        r.claims = []
        r.auth_user = outcome.auth_user or ""
        r.record_route = outcome.record_route
        if not r.to_tag:
            r.reply_to_tag = outcome.reply_to_tag.encode() if outcome.reply_to_tag else b""
        if outcome.answer_to_source:
            r.reply_ip, r.reply_port = r.source_ip, r.source_port
        if not action.stateless:
            r.state = COMPLETED
            r.trying_at = 0.0
            r.last_response = data
            r.end_at = now + self.long
            r.final_status = action.status
            r.final_sent_at = now
            r.request = r.edits = r.attempt_edits = r.vars = r.consumed = r.targets = b""  # as retention.compact
        if self.check is not None:
            self.check(before, m, outcome, r, data, now)
        return data

    cdef bint may(self, Record r, Outcome outcome) except -1:
        """Whether the record has seen nothing yet, and the outcome is an answer and no more."""
        cdef Answer action
        if type(outcome.action) is not Answer:
            return False
        action = <Answer>outcome.action
        if action.status < 200 or action.later is not None or action.reason is None:
            return False
        if outcome.error is not None or outcome.provisionals or outcome.reply_edits or outcome.reply_body is not None:
            return False
        if r.invite or r.own or r.cancelled or r.rejected or r.final_status or r.last_response or r.branches:
            return False
        if r.state != TRYING or r.attempts or r.method == "BYE" or len(r.claims) != 1:
            return False
        if self.tag_key is not self.env.tag_key or self.settings is not self.env.settings:
            self.tag_key, self.settings = self.env.tag_key, self.env.settings
            self.cipher = Cipher(self.tag_key)
            self.long = self.env.timing.long
        return (<Claim>r.claims[0]).kind == REQUEST

    cdef bytes tag_of(self, Record r):
        """As answers.tag_of: the key, enciphered."""
        cdef unsigned char out[16]
        cdef char text[32]
        self.cipher.encipher_into(<const unsigned char *>PyBytes_AS_STRING(r.key), out)
        put_digits(out, 16, text)
        return PyBytes_FromStringAndSize(text, 32)
