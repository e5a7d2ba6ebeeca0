"""Every stored message is sent to a running siphond; after each one it answers an OPTIONS, and no worker has died."""

import pytest
from torture import FILES, sent_from


@pytest.fixture
def proxy(siphond):
    """The recipe on two workers."""
    return siphond(workers=2).start()


def test_after_every_stored_message_an_options_is_answered(proxy, agent):
    senders, control = [agent(proxy, "sender") for _ in range(8)], agent(proxy, "control", fresh=True)
    before = proxy.restarts()
    for path in FILES:
        for sender in senders:  # from eight places, so that both workers see it
            sender.send(sent_from(sender.address, path.read_bytes()))
        control.send(control.request("OPTIONS", "sip:example.com", call_id=f"control-{path.stem}"))
        assert control.expect("200 OPTIONS")["call-id"] == f"control-{path.stem}", path.stem
    assert len(FILES) > 150
    assert proxy.restarts() == before and proxy.errors() == []
    assert all(proxy.messages())
