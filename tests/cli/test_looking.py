"""siphonctl: registrations, calls, transactions, counters, and the level of the log."""

import json
import socket
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from shm.table import Table
from siphon.cli import in_progress, show
from siphon.cli.in_progress import calls
from siphon.cli.siphonctl import command
from siphon.cli.status import Journal
from siphon.services.dialogs import Dialogs, Place

SCRIPT = """
from siphon import log, proxy, registrar

@proxy.on_request
def route(request):
    log.debug("a debug line")
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "INVITE":
        request.relay("sip:127.0.0.1:{silent}")
    else:
        request.reply(200, "OK")

CHANGES
"""
ON_CHANGE = """
@registrar.on_change
def changed(aor, event, contacts):
    log.info(f"heard {event} of {aor}")
"""


@pytest.fixture
def silent():
    """A phone that says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        yield phone


@pytest.fixture
def looked(site, silent):
    site.script.write_text(SCRIPT.replace("{silent}", str(silent.getsockname()[1])).replace("CHANGES", ON_CHANGE))
    return site


def send(site, method, more="", user="alice"):
    """Sends a request and gives its Call-ID and the first answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(60)
        text = site.request(method, phone.getsockname()[1]).decode()
        text = text.replace("To: <sip:example.com>", f"To: <sip:{user}@example.com>")
        phone.sendto(text.replace("Content-Length", f"{more}Content-Length").encode(), ("127.0.0.1", site.port))
        answer = phone.recv(4096).decode()
        return text.split("Call-ID: ")[1].split("\r\n")[0], answer


def register(site, user):
    send(site, "REGISTER", f"Contact: <sip:{user}@127.0.0.1:5099>;expires=600\r\n", user)


def found(site, *arguments):
    done = site.siphonctl(*arguments, "--json")
    return json.loads(done.stdout)


def test_registrations_are_listed_shown_and_removed_and_on_change_hears_of_it(looked):
    site = looked
    site.start()
    for user in ("bob", "alice"):
        register(site, user)
    assert [entry["aor"] for entry in found(site, "registrations")] == [
        "sip:alice@example.com",
        "sip:bob@example.com",
    ]
    listed = site.siphonctl("registrations", "list").stdout
    assert "ADDRESS OF RECORD" in listed and "sip:bob@127.0.0.1:5099" in listed
    assert "2 addresses of record, 2 contacts" in listed
    one = found(site, "registrations", "show", "alice@example.com")
    assert one["contacts"][0]["uri"] == "sip:alice@127.0.0.1:5099"
    assert "received" in site.siphonctl("registrations", "show", "sip:alice@example.com").stdout
    done = site.siphonctl("registrations", "remove", "alice@example.com")
    assert (done.returncode, done.stdout) == (0, "sip:alice@example.com: 1 contact removed\n")
    site.until(lambda: "heard deregistered of sip:alice@example.com" in site.text())
    for word in ("show", "remove"):
        done = site.siphonctl("registrations", word, "alice@example.com")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "alice@example.com: is not registered\n"
        done = site.siphonctl("registrations", word, "bob")
        assert (done.returncode, done.stdout) == (1, "")
        assert "an address of record has a domain" in done.stderr
    assert site.siphonctl("registrations", "show", "sip:").returncode == 2
    assert [entry["aor"] for entry in found(site, "registrations")] == ["sip:bob@example.com"]
    register(site, "alice")
    assert len(found(site, "registrations")) == 2


def test_a_call_that_goes_on_is_listed_until_its_bye(looked, silent):
    site = looked
    site.start()
    call_id, _ = send(site, "INVITE")
    silent.settimeout(60)
    invite = silent.recv(4096).decode()
    lines = [line for line in invite.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    answer = "\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""])
    answer = answer.replace("@example.com>\r\nCall-ID", "@example.com>;tag=callee\r\nCall-ID")
    assert "tag=callee" in answer, invite
    silent.sendto(answer.encode(), ("127.0.0.1", site.port))
    site.until(lambda: [call["state"] for call in found(site, "calls")] == ["up"])
    assert found(site, "calls", "show", call_id)["call"]["call_id"] == call_id


def test_a_call_of_which_only_the_dialog_is_left_is_listed_with_both_addresses(tmp_path):
    for name in ("cdrs", "dialogs", "transactions"):
        Table.create(tmp_path / name, records=16, blocks=32, wall_expiry=name != "transactions").close()
    table = Table.attach(tmp_path / "dialogs")
    table.slot = 0
    sides = Place("192.0.2.1", 5060, 0, ""), Place("192.0.2.2", 5070, 0, "")
    Dialogs(table, b"k" * 32, 3600).remember(b"a long call", b"one", b"two", *sides, time.time() - 60)
    (call,) = calls(tmp_path)
    assert 59 < call.pop("age_secs") < 600
    assert call == {"call_id": "a long call", "from": "192.0.2.1:5060", "to": "192.0.2.2:5070", "state": "up"}


def test_calls_and_transactions_are_listed_and_one_call_is_shown(looked):
    site = looked
    site.configure(more="[transaction]\nt1 = 4\n")  # nothing ends while siphonctl is started a few times
    site.start()
    call_id, answer = send(site, "INVITE")
    assert answer.startswith("SIP/2.0 100")
    site.ask()
    (call,) = found(site, "calls")
    assert (call["call_id"], call["state"], call["to"]) == (call_id, "forwarded", "sip:example.com")
    listed = {(entry["method"], entry["state"], entry["final"]) for entry in found(site, "transactions")}
    assert listed == {("INVITE", "forwarded", None), ("OPTIONS", "answered", 200)}
    assert len(found(site, "transactions", "--limit", "1")) == 1
    shown = found(site, "calls", "show", call_id)
    assert shown["call"]["call_id"] == call_id and len(shown["transactions"][0]["branches"]) == 1
    text = site.siphonctl("calls", "show", call_id).stdout
    assert "INVITE" in text and "INVITE 1 to 127.0.0.1:" in text
    assert "1 call\n" in site.siphonctl("calls").stdout
    assert "2 transactions" in site.siphonctl("transactions").stdout
    assert site.siphonctl("calls", "show", "nobody knows").returncode == 1


def test_counters_are_all_there(looked):
    site = looked
    site.start()
    site.ask()
    site.until(lambda: found(site, "counters")["requests"] == 1)
    assert found(site, "counters")["cdr_lost"] == 0
    assert "requests" in site.siphonctl("counters").stdout


def test_the_level_of_the_log_is_set_and_reset_without_a_reload(looked):
    site = looked
    site.start()
    assert site.siphonctl("log-level").stdout == "log.level of the configuration\n"
    site.ask()
    assert "a debug line" not in site.text()
    assert site.siphonctl("log-level", "debug").stdout == "debug\n"
    site.until(lambda: site.ask() and "a debug line" in site.text())
    site.script.write_text(site.script.read_text() + "\n# another version\n")
    assert site.siphonctl("reload").returncode == 0
    before = site.text().count("a debug line")
    site.ask()
    site.until(lambda: site.text().count("a debug line") > before)
    assert site.siphonctl("log-level", "reset").returncode == 0
    assert site.siphonctl("ready").returncode == 0

    def is_quiet():
        before = site.text().count("a debug line")
        site.ask()
        return site.text().count("a debug line") == before

    site.until(is_quiet)
    assert site.siphonctl("log-level", "loud").returncode == 2
    site.siphonctl("log-level", "error")
    before = site.text().count(" main - ")
    assert site.siphonctl("reload").returncode == 0
    assert site.stop(site.running[-1]) == 0
    assert site.text().count(" main - ") == before, "the supervisor follows"
    site.start()
    assert site.siphonctl("log-level").stdout == "log.level of the configuration\n"


@pytest.mark.parametrize(
    ("number", "address", "row", "change"),
    [(0, "0 addresses of record are", "0 calls", ""), (1, "1 address of record is", "1 call", ", 1 change waits"),
     (2, "2 addresses of record are", "1 of 2 calls", ", 2 changes wait")],
)  # fmt: skip
def test_numbers_agree_with_their_nouns(number, address, row, change):
    status = SimpleNamespace(tables={}, addresses_of_record=number, journal=None)
    assert show.tables(status)[-1] == f"{address} registered"
    assert in_progress.count_of([{}] * number, 1, "call") == row
    assert show.journal(Journal(0, 1024, 0, False, number, 0.0, None)) == f"journal: 0 of them in 1.0 kB{change}"


def test_without_an_instance_each_is_3(site):
    for words in (["registrations"], ["calls"], ["transactions"], ["counters"], ["log-level", "debug"], ["trace", "x"]):
        assert site.siphonctl(*words).returncode == 3


@pytest.mark.parametrize("group", ["registrations", "calls"])
def test_who_names_what_he_looks_for_instead_of_a_command_is_told_of_show(group):
    done = CliRunner().invoke(command, [group, "sip:bob@example.com"], prog_name="siphonctl")
    assert done.exit_code == 2
    assert done.output.endswith(
        f"No such command 'sip:bob@example.com'. To look for that: siphonctl {group} show sip:bob@example.com\n"
    )
