"""Handlers in threads (script.sync_pool_size) that do not return: a worker that has lost all threads is replaced."""

from proxy_process import until

SCRIPT = """
import threading
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "MESSAGE":
        threading.Event().wait()
    request.reply(200)
"""


def test_a_worker_all_of_whose_threads_are_stuck_is_replaced_and_serves_again(siphond, agent):
    proxy = siphond(workers=1, script=SCRIPT)
    text = proxy.configuration.read_text()
    threads = "[script]\nsync_pool_size = 2\nhandler_stall_abort_secs = 1"
    proxy.configuration.write_text(text.replace("[script]", threads))
    proxy.tolerated = "script.error|died|HandlerTimeout"
    proxy.start()
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    alice.expect("500 MESSAGE")
    alice.send(alice.request("INFO", "sip:bob@example.com"))
    alice.expect("200 INFO")
    assert proxy.restarts() == 0, "a thread is left"
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    alice.expect("500 MESSAGE")
    alice.insist(alice.request("INFO", "sip:bob@example.com"), "200 INFO")
    until(lambda: proxy.restarts() == 1, 20, "a new worker")
    assert 'cause="no handler in a thread has returned (script.sync_pool_size)"' in proxy.log()
    assert "a handler in a thread has not returned for 1 s" in proxy.log()
