"""Whatever clients send in whatever order, the bindings of an address of record keep their promises."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from desk import ALICE, Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.sip.uri import same_uri

HOSTS = st.sampled_from(["h1", "H1", "h2", "h2:5060", "h3;transport=udp", "h3;x=y"])
INSTANCES = st.sampled_from(
    ["", ';+sip.instance="<urn:x:1>"', ';+sip.instance="<urn:x:1>";reg-id=1', ";+sip.instance=b"]
)
LIFETIMES = st.sampled_from(["", ";expires=0", ";expires=60", ";expires=90", ";expires=59", ";expires=soon"])
CONTACT = st.builds("<sip:alice@{}>{}{}".format, HOSTS, INSTANCES, LIFETIMES)
REGISTER = st.fixed_dictionaries(
    {
        "contacts": st.one_of(st.lists(CONTACT, max_size=4), st.just(["*"])),
        "call_id": st.sampled_from(["a", "b"]),
        "cseq": st.integers(1, 6),
        "expires": st.sampled_from([None, "0", "120"]),
        "force": st.booleans(),
        "wait": st.sampled_from([0, 1, 45, 100]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(REGISTER, max_size=12), st.sampled_from(["evict", "reject"]))
def test_reg_12_reg_15_reg_25_promises_hold_after_every_request(requests: list[dict[str, Any]], action: str) -> None:
    desk = Desk(max_contacts=3, max_contacts_action=action)
    for at, request in enumerate(requests):
        desk.wall += request.pop("wait")
        before = desk.lookup()
        result = desk.register(*request.pop("contacts"), transaction=b"%d" % at, **request)
        after = desk.lookup()
        assert result.status in (200, 400, 423, 500, 503)
        if not result.ok:
            assert after == before
            continue
        assert sorted(b.uri for b in result.contacts) == sorted(b.uri for b in after)
        assert len(after) <= 3
        assert not any(same_uri(a.uri, b.uri) for a, b in combinations(after, 2))
        instances = [(b.instance, b.reg_id) for b in after if b.instance]
        assert len(instances) == len(set(instances))
        assert all(desk.wall < b.expiry <= desk.wall + 7200 for b in after)
        assert all((ALICE, b) in desk.location.lookup_contact(b.uri, desk.wall) for b in after)
