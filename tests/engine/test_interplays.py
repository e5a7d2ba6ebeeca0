"""Where two rules meet: a CANCEL between two targets, a 200 behind Timer C, requests in several early dialogs, an ACK
whose Route set is not ours alone, two families of addresses."""

from collections.abc import Callable

from call_scripts import IN_DIALOG

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
SCRIPT = (
    IN_DIALOG
    + """
    request.record_route()
    request.fork(TARGETS, strategy=STRATEGY)
"""
)
BOTH = '"sip:127.0.0.2:5091", "sip:127.0.0.2:5092"'


def called(make_world: Make, strategy: str, targets: str = BOTH, **settings: object) -> tuple[Agent, Agent, Agent]:
    """The caller and two phones, after the INVITE."""
    script = SCRIPT.replace("TARGETS", f"[{targets}]").replace("STRATEGY", repr(strategy))
    world = make_world(script, **settings)
    one, two, caller = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092), world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, one, two


def within(caller: Agent, method: str, uri: str, to_tag: str, route: str, cseq: int) -> None:
    """A request of the caller in a dialog."""
    caller.send(
        caller.request(
            method, uri, call_id="c1", to="sip:bob@example.com", to_tag=to_tag, cseq=cseq, headers=f"Route: {route}"
        )
    )


def test_can_03_can_04_a_cancel_just_behind_the_change_of_target_waits_for_the_new_one_alone(make_world: Make) -> None:
    """RFC 3261 §9.1: the target that has just been called has had no provisional yet."""
    caller, one, two = called(make_world, "sequential")
    one.answer(one.inbox[0], 180)
    one.answer(one.inbox[0], 486)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    assert (one.requests, two.requests) == (["INVITE", "ACK"], ["INVITE"])
    assert caller.statuses == [100, 180, 200]
    two.answer(two.inbox[0], 180, tag="t2")
    assert two.requests == ["INVITE", "CANCEL"]
    two.answer(two.inbox[0], 487, tag="t2")
    assert caller.statuses[-1] == 486  # the better of the two failures (RFC 3261 §16.7 item 6)
    assert two.requests == ["INVITE", "CANCEL", "ACK"]


def test_prx_55_prx_44_a_200_of_a_branch_that_timer_c_has_cancelled_is_forwarded(make_world: Make) -> None:
    """RFC 3261 §16.7 item 5, §16.8: the CANCEL came too late."""
    caller, one, _ = called(make_world, "parallel", '"sip:127.0.0.2:5091"')
    one.answer(one.inbox[0], 180)
    caller.world.advance(186.0)
    assert one.requests[:2] == ["INVITE", "CANCEL"] and caller.statuses == [100, 180]
    one.answer(one.inbox[0], 200)
    caller.world.advance(40.0)
    assert caller.statuses == [100, 180, 200]


def test_fork_09_fork_10_prack_update_and_info_reach_the_phone_of_their_early_dialog(make_world: Make) -> None:
    """RFC 3262, RFC 3311: two early dialogs of one INVITE, told apart by the To tag and the remote target."""
    caller, *phones = called(make_world, "parallel")
    for phone, tag in zip(phones, ("ta", "tb"), strict=True):
        phone.answer(phone.inbox[0], 183, tag=tag, headers=[("Require", "100rel"), ("RSeq", "1")])
    route = (caller.inbox[1].first("Record-Route") or b"").decode()
    for phone, tag in zip(phones, ("ta", "tb"), strict=True):
        for cseq, method in enumerate(("PRACK", "UPDATE", "INFO"), 2):
            within(caller, method, f"sip:127.0.0.2:{phone.port}", tag, route, cseq)
            assert (phone.last.method, phone.last.to_tag) == (method, tag.encode())
            phone.answer(phone.last, 200, tag=tag)
    assert caller.statuses == [100, 183, 183] + [200] * 6
    assert [phone.requests for phone in phones] == [["INVITE", "PRACK", "UPDATE", "INFO"]] * 2


def test_txn_18_prx_19_the_ack_to_a_2xx_follows_the_routes_behind_ours(make_world: Make) -> None:
    """RFC 3261 §16.4, §16.6 items 6 and 7: a loose router behind us gets it as it is, a strict one is named."""
    caller, one, _ = called(make_world, "parallel", '"sip:127.0.0.2:5091"')
    one.answer(one.inbox[0], 200)
    ours = (caller.last.first("Record-Route") or b"").decode()
    router = caller.world.agent("127.0.0.2", 5097)
    target = "sip:127.0.0.2:5091"
    for behind, uri, routes in (
        ("<sip:127.0.0.2:5097;lr>", target, [b"<sip:127.0.0.2:5097;lr>"]),
        ("<sip:127.0.0.2:5097>", "sip:127.0.0.2:5097", [f"<{target}>".encode()]),
    ):
        within(caller, "ACK", target, "t1", f"{ours}, {behind}", 1)
        assert (router.last.uri, router.last.values("Route")) == (uri.encode(), routes)
    assert one.requests == ["INVITE"] and router.requests == ["ACK", "ACK"]


def test_prx_27_prx_17_a_dialog_over_two_families_has_two_values_and_each_side_takes_both_off(make_world: Make) -> None:
    """RFC 5658 §5: the sending side on top; Route sets of both directions consist of both."""
    caller, _, _ = called(
        make_world,
        "parallel",
        '"sip:[2001:db8::2]:5091"',
        listen={"udp": ["192.0.2.100:5060", "[2001:db8::1]:5060"]},
    )
    phone = caller.world.agent("2001:db8::2", 5091)
    caller.world.advance(0.6)  # its first repeat: the phone is there now
    phone.answer(phone.last, 200)
    upper, lower = [value.decode() for value in caller.last.values("Record-Route")]
    assert upper.startswith("<sip:[2001:db8::1]:5060;lr") and lower.startswith("<sip:192.0.2.100:5060;lr")
    within(caller, "INFO", "sip:[2001:db8::2]:5091", "t1", f"{lower}, {upper}", 2)
    assert (phone.last.method, phone.last.values("Route")) == ("INFO", [])
    assert phone.last.via.host.strip(b"[]") == b"2001:db8::1"
    back = phone.request(
        "INFO", "sip:192.0.2.1:5060", call_id="c1", from_tag="t1", to_tag="f1", headers=f"Route: {upper}, {lower}"
    )
    phone.send(back, listener=1)
    assert (caller.last.method, caller.last.values("Route")) == ("INFO", [])
    assert caller.last.via.host == b"192.0.2.100"
