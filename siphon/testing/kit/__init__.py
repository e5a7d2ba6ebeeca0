"""Tests of routing scripts: the real engine with a virtual network, virtual phones and a virtual clock.

server        Server: a script in the engine, what it wrote and what it sent
phone         Phone: a user agent that registers, calls and is called
transactions  Sent, Received: what a phone has sent, what has come to it
dialog        Dialog: a call that is established, from either side
message       Message: a SIP message as tests read it
credentials   the answer to a digest challenge
flow          Flow: who sent what to whom, printed when a test has failed
kept_log      KeptLog: the lines and exceptions of the script

docs/testing-scripts.md shows how it is used. The pytest fixture is in siphon/testing/plugin.py.
"""

from siphon.testing.kit.dialog import Dialog
from siphon.testing.kit.message import Message
from siphon.testing.kit.phone import Phone
from siphon.testing.kit.server import Server
from siphon.testing.kit.transactions import Call, Received, Sent

__all__ = ["Call", "Dialog", "Message", "Phone", "Received", "Sent", "Server"]
