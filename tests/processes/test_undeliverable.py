"""A caller that is gone: what was for it is logged, and everybody else is served."""

from proxy_process import until


def test_prx_52_the_answer_to_a_caller_that_is_gone_is_logged_and_others_are_served(proxy, agent):
    gone, alice = agent(proxy, "gone"), agent(proxy, "alice")
    gone.send(gone.request("INVITE", "sip:nobody@example.com"))
    gone.expect("404 INVITE")
    gone.close()
    line = until(
        lambda: next((line for line in proxy.log().splitlines() if 'response="404 ' in line), None),
        20,
        "a line about the repeated 404",
    )
    assert " info " in line and " response.undeliverable " in line
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    alice.expect("200 OPTIONS")
    assert proxy.errors() == [] and proxy.restarts() == 0
