"""examples/proxy_gateway.py and examples/pstn_breakout.py with their configurations, by the kit: servers, trunks and
time are virtual. tests/processes/test_gateway_examples.py has them with SIPp."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS = [f"127.0.0.1{n}:5080" for n in (1, 2, 3)]
PROBED_SECS = 40


def there(server, *addresses):
    """Phones that answer probes at these addresses."""
    made = [server.phone(address, address=address) for address in addresses]
    for phone in made:
        phone.always("OPTIONS", 200)
    return made


class TestLoadBalancer:
    @pytest.fixture
    def server(self, siphond):
        return siphond(config=EXAMPLES / "proxy_gateway.cfg")

    @pytest.fixture
    def pool(self, server):
        return there(server, *SERVERS)

    def called(self, pool):
        """The member that has an INVITE now."""
        found = [member for member in pool if any(received.request.method == "INVITE" for received in member.received)]
        assert len(found) == 1
        return found[0]

    def test_calls_are_shared_by_weight(self, server, pool):
        alice = server.phone("alice")
        for _ in range(8):
            alice.invite("sip:echo@127.0.0.1")
        calls = [len([r for r in member.received if r.request.method == "INVITE"]) for member in pool]
        assert calls == [4, 2, 2]

    def test_the_requests_of_a_call_stay_with_its_server(self, server, pool):
        call = server.phone("alice").invite("sip:echo@127.0.0.1")
        member = self.called(pool)
        member.incoming("INVITE").accept()
        assert call.status == 200
        assert call.bye().status == 200

    @pytest.mark.parametrize("status", [500, 503, 504])
    def test_another_server_is_asked_when_one_fails(self, server, pool, status):
        first = pool[0]  # a new instance asks the heaviest first
        first.always("INVITE", status)
        call = server.phone("alice").invite("sip:echo@127.0.0.1")
        self.called([member for member in pool if member is not first]).incoming("INVITE").accept()
        assert call.status == 200

    def test_another_server_is_asked_when_one_is_silent(self, server, pool):
        pool[0].offline = True
        call = server.phone("alice").invite("sip:echo@127.0.0.1")
        server.advance(4.5)
        self.called(pool[1:]).incoming("INVITE").accept()
        assert call.status == 200

    def test_a_refusal_goes_back_as_it_is(self, server, pool):
        for member in pool:
            member.always("INVITE", 486)
        assert server.phone("alice").invite("sip:echo@127.0.0.1").status == 486

    def test_without_a_server_there_is_503_with_a_time(self, server):
        server.advance(PROBED_SECS)
        refused = server.phone("alice").invite("sip:echo@127.0.0.1")
        assert refused.status == 503
        assert refused.final.header("Retry-After") == "10"

    def test_a_server_that_is_found_dead_is_asked_by_no_call(self, server, pool):
        pool[0].unreachable = True
        server.advance(PROBED_SECS)
        alice = server.phone("alice")
        for _ in range(4):
            alice.invite("sip:echo@127.0.0.1")
        assert sum(r.request.method == "INVITE" for member in pool[1:] for r in member.received) == 4

    def test_a_request_of_no_call_gets_481(self, server, pool):
        assert server.phone("alice").request("BYE", "sip:echo@127.0.0.1", {"To": "<sip:echo@h>;tag=1"}).status == 481


class TestPstnBreakout:
    @pytest.fixture
    def server(self, siphond):
        return siphond(config=EXAMPLES / "pstn_breakout.cfg")

    @pytest.fixture
    def pbx(self, server):
        return server.phone("pbx", address="127.0.0.2:5070")

    @pytest.fixture
    def trunks(self, server):
        return there(server, "127.0.0.3:5080", "127.0.0.4:5080")

    @pytest.mark.parametrize(
        "dialled, number", [("0731123", "+49731123"), ("0043123456", "+43123456"), ("+33123456", "+33123456")]
    )
    def test_a_number_leaves_by_the_first_trunk_as_e164(self, pbx, trunks, dialled, number):
        call = pbx.invite(f"sip:{dialled}@127.0.0.1")
        out = trunks[0].incoming("INVITE")
        assert out.request.uri == f"sip:{number}@127.0.0.3:5080"
        out.accept()
        assert call.status == 200
        assert call.bye().status == 200

    @pytest.mark.parametrize("status", [500, 503])
    def test_the_next_trunk_takes_a_call_that_the_first_refuses(self, pbx, trunks, status):
        trunks[0].always("INVITE", status)
        call = pbx.invite("sip:0731123@127.0.0.1")
        out = trunks[1].incoming("INVITE")
        assert out.request.uri == "sip:+49731123@127.0.0.4:5080"
        out.accept()
        assert call.status == 200

    def test_the_next_trunk_takes_a_call_that_the_first_does_not_answer(self, server, pbx, trunks):
        trunks[0].offline = True
        call = pbx.invite("sip:0731123@127.0.0.1")
        server.advance(64 * 0.1 + 0.5)
        trunks[1].incoming("INVITE").accept()
        assert call.status == 200

    def test_busy_and_wrong_numbers_are_no_failure_of_a_trunk(self, pbx, trunks):
        trunks[0].always("INVITE", 486)
        assert pbx.invite("sip:0731123@127.0.0.1").status == 486
        assert pbx.invite("sip:bob@127.0.0.1").status == 404

    def test_when_all_trunks_fail_the_pbx_hears_it(self, pbx, trunks):
        for trunk in trunks:
            trunk.always("INVITE", 503)
        # A 503 of a server further on is none of ours (RFC 3261 section 16.7 item 6).
        assert pbx.invite("sip:0731123@127.0.0.1").status == 500

    @pytest.mark.parametrize("address", ["127.0.0.3:5080", "127.0.0.70:5060"])
    def test_calls_of_carriers_go_to_the_pbx(self, server, pbx, address):
        carrier = server.phone("carrier", address=address)
        call = carrier.invite("sip:+49731@127.0.0.1")
        pbx.incoming("INVITE").accept()
        assert call.status == 200

    def test_anybody_else_is_refused_but_may_ask_whether_we_are_there(self, server):
        stranger = server.phone("stranger")
        assert stranger.invite("sip:0731123@127.0.0.1").status == 403
        assert stranger.request("OPTIONS", "sip:127.0.0.1").status == 200
