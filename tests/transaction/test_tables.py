"""The four tables, every (state, event) pair: where it leads, what it sends, which timers run afterwards."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from siphon.state.record import Branch, Client, Record
from siphon.transaction import invite_client as ict
from siphon.transaction import invite_server as ist
from siphon.transaction import non_invite_client as nict
from siphon.transaction import non_invite_server as nist
from siphon.transaction.step import Step
from siphon.transaction.timing import Timing

NOW = 100.0
TIMING = Timing()
LONG, T4 = TIMING.long, TIMING.t4


def step() -> Step:
    record = Record(bytes(16), 1)
    record.reply_ip, record.reply_port = "192.0.2.1", 5060
    record.last_response = b"last"
    record.resend_at, record.interval, record.end_at = NOW, 0.5, NOW + LONG
    return Step(record, NOW, TIMING)


def pairs(machine: Any) -> list[Any]:
    """Every state with every event."""
    return [pytest.param(s, e, id=f"{s.name}-{e.name}") for s in machine.State for e in machine.Event]


# (state, event): (next state, datagram sent, resend_at, end_at); what is not named is discarded
IST: dict[tuple[ist.State, Enum], tuple[ist.State, bytes, float, float]] = {
    (ist.P, ist.Event.REQUEST): (ist.P, b"last", NOW, NOW + LONG),
    (ist.P, ist.Event.PROVISIONAL): (ist.P, b"new", NOW, NOW + LONG),
    (ist.P, ist.Event.RELIABLE): (ist.U, b"new", NOW + 0.5, NOW + LONG),
    (ist.P, ist.Event.FINAL_2XX): (ist.A, b"new", 0.0, NOW + LONG),
    (ist.P, ist.Event.FINAL_300): (ist.C, b"new", NOW + 0.5, NOW + LONG),
    (ist.P, ist.Event.ACK_OF_OTHER): (ist.F, b"", 0.0, NOW + T4),
    (ist.U, ist.Event.REQUEST): (ist.U, b"last", NOW, NOW + LONG),
    (ist.U, ist.Event.PRACK): (ist.P, b"", 0.0, NOW + LONG),
    (ist.U, ist.Event.REPEAT): (ist.U, b"last", NOW + 1.0, NOW + LONG),
    (ist.U, ist.Event.FINAL_2XX): (ist.A, b"new", 0.0, NOW + LONG),
    (ist.U, ist.Event.FINAL_300): (ist.C, b"new", NOW + 0.5, NOW + LONG),
    (ist.U, ist.Event.ACK_OF_OTHER): (ist.F, b"", 0.0, NOW + T4),
    (ist.A, ist.Event.REQUEST): (ist.A, b"", NOW, NOW + LONG),
    (ist.A, ist.Event.FINAL_2XX): (ist.A, b"new", NOW, NOW + LONG),
    (ist.A, ist.Event.ACK): (ist.A, b"", 0.0, NOW + LONG),
    (ist.A, ist.Event.TIMER_G): (ist.A, b"last", NOW + 1.0, NOW + LONG),
    (ist.A, ist.Event.TIMER_L): (ist.T, b"", 0.0, NOW + LONG),
    (ist.C, ist.Event.REQUEST): (ist.C, b"last", NOW, NOW + LONG),
    (ist.C, ist.Event.FINAL_2XX): (ist.A, b"new", 0.0, NOW + LONG),
    (ist.C, ist.Event.ACK): (ist.F, b"", 0.0, NOW + T4),
    (ist.C, ist.Event.TIMER_G): (ist.C, b"last", NOW + 1.0, NOW + LONG),
    (ist.C, ist.Event.TIMER_H): (ist.T, b"", 0.0, NOW + LONG),
    (ist.F, ist.Event.REQUEST): (ist.F, b"", NOW, NOW + LONG),
    (ist.F, ist.Event.FINAL_2XX): (ist.F, b"new", NOW, NOW + LONG),
    (ist.F, ist.Event.ACK): (ist.F, b"", NOW, NOW + LONG),
    (ist.F, ist.Event.TIMER_I): (ist.T, b"", 0.0, NOW + LONG),
    (ist.T, ist.Event.FINAL_2XX): (ist.T, b"new", NOW, NOW + LONG),
}


@pytest.mark.parametrize(("state", "event"), pairs(ist))
def test_invite_server(state: ist.State, event: ist.Event) -> None:
    s = step()
    s.record.state = state
    applied = ist.apply(s, event, b"new")
    expected = IST.get((state, event))
    assert applied == (expected is not None)
    after, sent, resend_at, end_at = expected or (state, b"", NOW, NOW + LONG)
    assert s.record.state == after
    assert [send.data for send in s.sends] == [sent] * bool(sent)
    assert all(send.to == ("192.0.2.1", 5060) for send in s.sends)
    assert (s.record.resend_at, s.record.end_at) == (resend_at, end_at)


NIST: dict[tuple[nist.State, Enum], tuple[nist.State, bytes]] = {
    (nist.State.TRYING, nist.Event.REQUEST): (nist.State.TRYING, b""),
    (nist.State.TRYING, nist.Event.PROVISIONAL): (nist.State.PROCEEDING, b"new"),
    (nist.State.TRYING, nist.Event.FINAL): (nist.State.COMPLETED, b"new"),
    (nist.State.PROCEEDING, nist.Event.REQUEST): (nist.State.PROCEEDING, b"last"),
    (nist.State.PROCEEDING, nist.Event.PROVISIONAL): (nist.State.PROCEEDING, b"new"),
    (nist.State.PROCEEDING, nist.Event.FINAL): (nist.State.COMPLETED, b"new"),
    (nist.State.COMPLETED, nist.Event.REQUEST): (nist.State.COMPLETED, b"last"),
    (nist.State.COMPLETED, nist.Event.TIMER_J): (nist.State.TERMINATED, b""),
}


@pytest.mark.parametrize(("state", "event"), pairs(nist))
def test_non_invite_server(state: nist.State, event: nist.Event) -> None:
    s = step()
    s.record.state = state
    applied = nist.apply(s, event, b"new")
    expected = NIST.get((state, event))
    assert applied == (expected is not None)
    after, sent = expected or (state, b"")
    assert s.record.state == after
    assert [send.data for send in s.sends] == [sent] * bool(sent)
    if sent == b"new":
        assert s.record.last_response == b"new" and s.record.trying_at == 0.0


# (state, event): (next state, sent, resend_at, timeout_at, end_at, delivered, acknowledged)
A_AND_B = (NOW, NOW + 9, 0.0)  # Timer A, Timer B, no end: as they stand before the event
STOPPED = (0.0, 0.0, 0.0)
ENDING = (0.0, 0.0, NOW + LONG)
ICT: dict[tuple[ict.State, Enum], tuple[ict.State, bytes, tuple[float, float, float], bool, bool]] = {
    (ict.C, ict.Event.START): (ict.C, b"new", (NOW + 0.5, NOW + LONG, 0.0), False, False),
    (ict.C, ict.Event.PROVISIONAL): (ict.P, b"", STOPPED, True, False),
    (ict.C, ict.Event.FINAL_2XX): (ict.A, b"", ENDING, True, False),
    (ict.C, ict.Event.FINAL_300): (ict.D, b"", ENDING, True, True),
    (ict.C, ict.Event.TIMER_A): (ict.C, b"new", (NOW + 1.0, NOW + 9, 0.0), False, False),
    (ict.C, ict.Event.TIMER_B): (ict.T, b"", STOPPED, True, False),
    (ict.C, ict.Event.UNREACHABLE): (ict.T, b"", STOPPED, True, False),
    (ict.P, ict.Event.PROVISIONAL): (ict.P, b"", STOPPED, True, False),
    (ict.P, ict.Event.FINAL_2XX): (ict.A, b"", ENDING, True, False),
    (ict.P, ict.Event.FINAL_300): (ict.D, b"", ENDING, True, True),
    (ict.A, ict.Event.FINAL_2XX): (ict.A, b"", A_AND_B, True, False),
    (ict.A, ict.Event.FINAL_300): (ict.A, b"", A_AND_B, False, False),
    (ict.A, ict.Event.TIMER_M): (ict.T, b"", STOPPED, False, False),
    (ict.D, ict.Event.FINAL_300): (ict.D, b"", A_AND_B, False, True),
    (ict.D, ict.Event.TIMER_D): (ict.T, b"", STOPPED, False, False),
    (ict.T, ict.Event.PROVISIONAL): (ict.P, b"", A_AND_B, True, False),
}


@pytest.mark.parametrize(("state", "event"), pairs(ict))
def test_invite_client(state: ict.State, event: ict.Event) -> None:
    s, branch = step(), branch_at("198.51.100.1")
    branch.state = state
    applied = ict.apply(s, branch, event, b"new")
    expected = ICT.get((state, event))
    assert applied == (expected is not None)
    after, sent, times, delivered, acknowledged = expected or (state, b"", A_AND_B, False, False)
    assert branch.state == after
    assert [(send.data, send.to) for send in s.sends] == [(sent, ("198.51.100.1", 5070))] * bool(sent)
    assert (branch.resend_at, branch.timeout_at, branch.end_at) == times
    assert (s.deliver, s.acknowledge) == (delivered, acknowledged)


def branch_at(ip: str) -> Branch:
    branch = Branch(0)
    branch.ip, branch.port = ip, 5070
    branch.resend_at, branch.timeout_at, branch.end_at = A_AND_B
    branch.interval = 0.5
    return branch


R, P, C, T = nict.State.TRYING, nict.State.PROCEEDING, nict.State.COMPLETED, nict.State.TERMINATED
NICT: dict[tuple[nict.State, Enum], tuple[nict.State, bytes, tuple[float, float, float], bool]] = {
    (R, nict.Event.START): (R, b"new", (NOW + 0.5, NOW + LONG, 0.0), False),
    (R, nict.Event.PROVISIONAL): (P, b"", A_AND_B, True),
    (R, nict.Event.FINAL): (C, b"", (0.0, 0.0, NOW + T4), True),
    (R, nict.Event.TIMER_E): (R, b"new", (NOW + 1.0, NOW + 9, 0.0), False),
    (R, nict.Event.TIMER_F): (T, b"", STOPPED, True),
    (R, nict.Event.UNREACHABLE): (T, b"", STOPPED, True),
    (P, nict.Event.PROVISIONAL): (P, b"", A_AND_B, True),
    (P, nict.Event.FINAL): (C, b"", (0.0, 0.0, NOW + T4), True),
    (P, nict.Event.TIMER_E): (P, b"new", (NOW + 4.0, NOW + 9, 0.0), False),
    (P, nict.Event.TIMER_F): (T, b"", STOPPED, True),
    (P, nict.Event.UNREACHABLE): (T, b"", STOPPED, True),
    (C, nict.Event.FINAL): (C, b"", A_AND_B, False),
    (C, nict.Event.TIMER_K): (T, b"", A_AND_B, False),
}


@pytest.mark.parametrize("of_cancel", [False, True])
@pytest.mark.parametrize(("state", "event"), pairs(nict))
def test_non_invite_client(state: nict.State, event: nict.Event, of_cancel: bool) -> None:
    s, branch = step(), branch_at("198.51.100.1")
    client: Client = branch
    if of_cancel:  # the CANCEL's own transaction lies in the branch and has its address
        branch.cancel = client = Client()
        client.resend_at, client.timeout_at, client.end_at, client.interval = *A_AND_B, 0.5
    client.state = state
    applied = nict.apply(s, branch, client, event, b"new")
    expected = NICT.get((state, event))
    assert applied == (expected is not None)
    after, sent, times, delivered = expected or (state, b"", A_AND_B, False)
    assert client.state == after
    assert [(send.data, send.to) for send in s.sends] == [(sent, ("198.51.100.1", 5070))] * bool(sent)
    assert (client.resend_at, client.timeout_at, client.end_at) == times
    assert s.deliver == delivered


def test_txn_02_timer_g_backs_off_to_t2_and_ends_with_timer_h() -> None:
    s = step()
    s.record.state = ist.State.PROCEEDING
    ist.apply(s, ist.Event.FINAL_300, b"no")
    times = [0.0]
    while s.record.resend_at:
        times.append(s.record.resend_at - NOW)
        ist.apply(s, ist.Event.TIMER_G)
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


@pytest.mark.parametrize("machine", [ist, nist, ict, nict])
def test_every_state_and_event_of_a_table_is_known(machine: Any) -> None:
    assert set(machine.TABLE) == set(machine.State)
    for rows in machine.TABLE.values():
        assert set(rows) <= set(machine.Event)
        assert all(after in machine.State for after, _ in rows.values())
