"""Secrets that another service knows: how they are asked for, shared, kept and forgotten. In virtual time."""

import asyncio

import pytest

from siphon.config.settings import Auth
from siphon.services.digest import RemoteSecrets, Secret
from siphon.services.digest.remote import ENTRIES, FAULT_SECS, FETCHES, UNKNOWN_SECS, NoSecret
from siphon.testing.aio import VirtualLoop
from siphon.testing.clock import VirtualClock

URL = "http://auth.test/{username}"


class Service:
    """Answers a question when it is told to; `asked` are the users in the order of the questions."""

    def __init__(self, loop):
        self.loop = loop
        self.asked = []
        self.open = {}
        self.closed = False
        self.at_once = None

    async def __call__(self, user):
        self.asked.append(user)
        if self.at_once is not None:
            return self.at_once
        future = self.open[user] = self.loop.create_future()
        return await future

    async def close(self):
        self.closed = True


class Desk:
    def __init__(self, **http):
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        self.services = []
        self.reports = []
        self.secrets = RemoteSecrets(self.loop, self.clock, auth(**http), self.fetcher, self.reports.append)

    def fetcher(self, settings):
        if settings.backend != "http":
            return None
        self.services.append(Service(self.loop))
        return self.services[-1]

    @property
    def service(self):
        return self.services[-1]

    def get(self, *users):
        """What the asker got: [] until it comes."""
        got = []
        self.secrets.get([user.encode() for user in users], got.append)
        self.run()
        return got

    def answer(self, user, secret):
        future = self.service.open.pop(user.encode())
        if isinstance(secret, Exception):
            future.set_exception(secret)
        else:
            future.set_result(secret)
        self.run()

    def run(self, seconds=0.0):
        end = self.clock.now + seconds
        while (when := self.loop.next_when()) is not None and when <= end:
            self.clock.now = max(self.clock.now, when)
            self.loop.step()
        self.clock.now = end


def auth(backend="http", algorithms=("MD5",), **http):
    return Auth(backend=backend, algorithms=list(algorithms), http={"url": URL, **http})


@pytest.fixture
def desk():
    made = []

    def make(**http):
        made.append(Desk(**http))
        return made[-1]

    yield make
    for one in made:
        one.loop.abandon()


PASSWORD = Secret(password=b"pw")


def test_users_who_ask_together_share_one_question(desk):
    d = desk()
    first, second = d.get("alice"), d.get("alice")
    assert (first, second, d.service.asked, d.secrets.pending) == ([], [], [b"alice"], 2)
    d.answer("alice", PASSWORD)
    assert first == second == [{b"alice": PASSWORD}]
    assert d.secrets.pending == 0


def test_without_cache_ttl_secs_every_request_asks_anew(desk):
    d = desk()
    d.get("alice")
    d.answer("alice", PASSWORD)
    assert d.get("alice") == []
    assert d.service.asked == [b"alice", b"alice"]


def test_a_secret_is_kept_for_cache_ttl_secs(desk):
    d = desk(cache_ttl_secs=30)
    d.get("alice")
    d.answer("alice", PASSWORD)
    d.run(29.9)
    assert d.get("alice") == [{b"alice": PASSWORD}]
    d.run(0.2)
    assert d.get("alice") == []


@pytest.mark.parametrize(
    ("answer", "seconds", "found"), [(None, UNKNOWN_SECS, {b"x": None}), (NoSecret("refused"), FAULT_SECS, {})]
)
def test_what_is_no_secret_is_kept_for_a_moment(desk, answer, seconds, found):
    d = desk(cache_ttl_secs=30)
    first = d.get("x")
    d.answer("x", answer)
    d.run(seconds - 0.1)
    assert first == d.get("x") == [found]
    d.run(0.2)
    assert d.get("x") == []


def test_a_service_that_never_answers_is_waited_for_timeout_ms(desk):
    d = desk(timeout_ms=700)
    got = d.get("alice")
    d.run(0.69)
    assert got == []
    d.run(0.02)
    assert got == [{}]
    assert d.reports == ["no answer within 700 ms"]


def test_a_fault_of_the_client_leaves_nobody_waiting(desk):
    d = desk()
    got = d.get("alice")
    d.answer("alice", ZeroDivisionError("a fault"))
    assert got == [{}]
    assert d.reports == ["ZeroDivisionError: a fault"]


def test_at_most_so_many_questions_are_open_and_the_others_wait_within_their_time(desk):
    d = desk(timeout_ms=700)
    got = [d.get(f"u{number}") for number in range(FETCHES + 5)]
    assert len(d.service.asked) == FETCHES
    d.answer("u0", PASSWORD)
    assert d.service.asked[-1] == b"u%d" % FETCHES
    d.run(0.71)
    assert got[0] == [{b"u0": PASSWORD}]
    assert all(one == [{}] for one in got[1:])
    assert len(d.service.asked) <= 2 * FETCHES


def test_the_cache_is_bounded_and_the_oldest_go(desk):
    d = desk(cache_ttl_secs=3600)
    d.service.at_once = PASSWORD
    for number in range(ENTRIES + 1):
        d.get(f"u{number}")
    before = len(d.service.asked)
    d.get(f"u{ENTRIES}", "u1")
    assert len(d.service.asked) == before
    d.get("u0")
    assert len(d.service.asked) == before + 1


def test_nobody_is_asked_for_an_empty_name_or_one_of_more_than_255_bytes(desk):
    d = desk()
    assert d.get("", "x" * 256) == [{b"": None, b"x" * 256: None}]
    assert d.get("x" * 255) == []
    assert d.service.asked == [b"x" * 255]


def test_a_reload_with_another_url_empties_the_cache_and_lets_open_questions_end(desk):
    d = desk(cache_ttl_secs=30)
    old = d.service
    d.get("alice")
    d.answer("alice", PASSWORD)
    waiting = d.get("bob")
    d.secrets.configure(auth(cache_ttl_secs=30, url="http://other.test/{username}"))
    d.run()
    assert d.service is not old and not old.closed
    assert d.get("alice") == []
    old.open[b"bob"].set_result(PASSWORD)
    d.run()
    assert waiting == [{b"bob": PASSWORD}]
    assert old.closed
    assert d.get("bob") == []


def test_a_reload_to_static_before_a_question_has_begun_leaves_nobody_waiting(desk):
    d = desk()
    got = []
    d.secrets.get([b"alice"], got.append)  # its task has not run when the reload comes
    d.secrets.configure(auth("static"))
    d.run()
    d.services[0].open[b"alice"].set_result(Secret.from_password("one"))
    d.run()
    assert got == [{b"alice": Secret.from_password("one")}] and d.secrets.pending == 0
    assert d.services[0].closed


def test_a_reload_that_changes_nothing_of_it_keeps_the_cache(desk):
    d = desk(cache_ttl_secs=30)
    d.get("alice")
    d.answer("alice", PASSWORD)
    d.secrets.configure(auth(cache_ttl_secs=30))
    assert d.get("alice") == [{b"alice": PASSWORD}]
    assert len(d.services) == 1


def test_with_the_backend_static_nobody_is_asked(desk):
    d = desk()
    d.secrets.configure(auth(backend="static"))
    assert d.get("alice") == [None]
    assert asyncio.all_tasks(d.loop) == set()
