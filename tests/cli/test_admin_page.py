"""The page of `admin.ui`: what it shows, and that nothing a stranger has sent becomes part of it."""

from html.parser import HTMLParser

from siphon.cli.admin.page import HEADERS, LONGEST, MOST, STYLE, page
from siphon.cli.status import Process, Status

EVIL = "<script>alert(1)</script>\"'&"


class Tables(HTMLParser):
    """The cells of each table by its heading, and all tags that occur."""

    def __init__(self, text):
        super().__init__()
        self.found, self.tags, self.attributes = {}, set(), []
        self.heading = self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        self.inside = tag
        if tag == "tr":
            self.found.setdefault(self.heading, []).append([])
        elif tag in ("td", "th"):
            self.found[self.heading][-1].append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "h2":
            self.heading = data
        elif self.inside in ("td", "th"):
            self.found[self.heading][-1][-1] += data


def status(**facts):
    known = {
        "instance": "edge", "version": "0.1.0", "pid": 7, "state": "serving", "flags": 0, "uptime_secs": 12.3,
        "configuration": "siphon.cfg", "listen": ["127.0.0.1:5060"], "script_version": 2, "all_beat": True,
        "processes": [Process("worker 1", 0, 8, "idle", True, 0.1, None, 3, 44)], "transactions": 5,
        "addresses_of_record": 6, "banned_sources": 1, "cdr_sessions": 0, "tables": {},
        "counters": {"requests": 17, "loops": 0}, "durations": [], "journal": None,
    }  # fmt: skip
    return Status(**{**known, **facts})


def call(name="c1", **facts):
    return {
        "call_id": name,
        "from": "192.0.2.1:5060",
        "to": "sip:bob@example.com",
        "age_secs": 1.5,
        "state": "up",
        **facts,
    }


REGISTRATION = {
    "aor": "sip:bob@example.com",
    "contacts": [{"uri": "sip:bob@192.0.2.2", "received": "192.0.2.2:5060", "expires": 300}],
}
GATEWAY = {
    "group": "carriers",
    "destinations": [
        {"uri": "sip:a.example", "usable": True, "drained": False, "failures": 0, "weight": 2},
        {"uri": "sip:b.example", "usable": False, "drained": False, "failures": 4, "weight": 1},
        {"uri": "sip:c.example", "usable": False, "drained": True, "failures": 0, "weight": 1},
    ],
}
BAN = {"source": "198.51.100.7", "user": None, "reason": "scanner", "seconds_left": 60.0}


def test_each_list_is_a_table():
    found = Tables(page(status(), [call()], [REGISTRATION], [GATEWAY], [BAN])).found
    assert ["transactions", "5"] in found["Instance"]
    assert ["requests", "17"] in found["Instance"] and not any(row[0] == "loops" for row in found["Instance"])
    assert found["Processes"][1] == ["worker 1", "8", "idle", "3", "44"]
    assert found["Calls"][1] == ["c1", "192.0.2.1:5060", "sip:bob@example.com", "1.5", "up"]
    assert found["Registrations"][1] == ["sip:bob@example.com", "sip:bob@192.0.2.2", "192.0.2.2:5060", "300 s"]
    assert [row[2] for row in found["Gateways"][1:]] == ["up", "down", "gets no new calls"]
    assert found["Bans"][1] == ["198.51.100.7", "", "scanner", "60.0"]


def test_what_strangers_send_is_text_and_short():
    evil = dict.fromkeys(("call_id", "from", "to", "age_secs", "state"), EVIL)
    contact = {"uri": EVIL, "received": EVIL, "expires": EVIL}
    made = page(
        status(instance=EVIL, configuration=EVIL, listen=[EVIL], counters={EVIL: 1}),
        [evil, call("x" * 10_000)],
        [{"aor": EVIL, "contacts": [contact]}],
        [{"group": EVIL, "destinations": [{**GATEWAY["destinations"][0], "uri": EVIL}]}],
        [{**BAN, "user": EVIL, "reason": EVIL}],
    )
    read = Tables(made)
    assert read.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td", "p"}
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "href")]
    assert read.found["Calls"][1] == [EVIL] * 5
    assert len(read.found["Calls"][2][0]) < LONGEST + 10


def test_long_lists_end_and_say_so():
    made = page(status(), [call(str(number)) for number in range(MOST + 5)], [], [], [])
    assert len(Tables(made).found["Calls"]) == MOST + 1
    assert f"{MOST} of {MOST + 5} rows" in made
    assert made.count('class="none"') == 3


def test_a_browser_runs_and_loads_nothing():
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "unsafe" not in policy
    assert f"<style>{STYLE}</style>" in page(status(), [], [], [], [])
