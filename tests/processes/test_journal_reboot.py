"""Registrations over a reboot, with real processes: the journal, what disks do to it, and what it tells."""

import os
import re
import resource
import signal
import socket
import subprocess
import time
import zlib

import pytest
from proxy_process import until
from registrations import (
    OPEN_REGISTRAR,
    bindings_in,
    journal_facts,
    journal_of,
    kill_everything,
    processes,
    register_all,
    register_request,
    waits_for_journal,
    wipe,
)
from udp_agent import Agent

PHONE = ("127.0.0.1", 5070)


@pytest.fixture
def registrar(siphond):
    made = siphond(workers=2, script=OPEN_REGISTRAR, more="[registrar]\nmax_contacts = 10\n")
    made.configuration.write_text(made.configuration.read_text().replace("max_bindings = 1000", "max_bindings = 10000"))
    return made.start()


def ordinary(count, first=0, expires=600):
    return [
        register_request(f"u{n}", f"<sip:u{n}@127.0.0.1:{20000 + n % 20000}>;expires={expires}", PHONE)
        for n in range(first, first + count)
    ]


def varied(count):
    """Registrations with everything that a binding may carry."""
    found = []
    for n in range(count):
        user = f"user{n}"
        contact = f"<sip:{user}@127.0.0.1:{20000 + n};transport=udp;ob>;q=0.{n % 10}"
        extra = ("Supported: path, outbound, gruu",)
        if n % 3 == 0:
            contact += f';+sip.instance="<urn:uuid:00000000-0000-1000-8000-{n:012x}>";reg-id=1'
        if n % 4 == 0:
            extra += (f"Path: <sip:edge{n % 7}.example.com;lr>,<sip:core.example.com;lr>",)
        found.append(register_request(user, contact, PHONE, extra=(*extra, f"Expires: {300 + n % 300}")))
        if n % 5 == 0:
            second = f'<sip:{user}@127.0.0.1:{30000 + n}>;q=0.55;expires={400 + n % 100};audio;methods="INVITE,BYE"'
            found.append(register_request(user, second, PHONE, cseq=2))
    return found


def lines_of(proxy, event):
    return [line for line in proxy.log().splitlines() if f" {event} " in line or line.endswith(f" {event}")]


def call_reaches(proxy, callee, user):
    with Agent(proxy.address, "caller") as caller:
        caller.send(caller.request("MESSAGE", f"sip:{user}@example.com"))
        callee.respond(callee.expect("MESSAGE"), 200)
        caller.expect("200 MESSAGE")


# -- the reboot


def wiped(proxy):
    """/dev/shm is empty after a reboot."""
    wipe(proxy)


def of_another_boot(proxy):
    """Tables on a disk are there and of another boot."""
    (proxy.shared / "boot").write_text("0" * 32 + "\n")


def under_another_secret(proxy):
    wipe(proxy)
    (proxy.directory / "state" / "secret").unlink()


@pytest.mark.parametrize("reboot", [wiped, of_another_boot, under_another_secret])
def test_shared_25_thousands_of_bindings_outlive_a_kill_of_everything_and_a_reboot(registrar, reboot):
    with Agent(registrar.address, "callee") as callee:
        register_all(registrar, varied(2000))
        callee.send(register_request("callee", callee.contact, callee.address))
        callee.expect("200 REGISTER")
        before = bindings_in(registrar)
        assert len(before) == 2001 and sum(len(record.bindings) for record in before.values()) == 2401
        waits_for_journal(registrar)
        kill_everything(registrar)
        reboot(registrar)
        registrar.start()
        assert bindings_in(registrar) == before
        (told,) = lines_of(registrar, "location.restored")
        assert "bindings=2401 addresses_of_record=2001" in told
        call_reaches(registrar, callee, "callee")
    register_all(registrar, [register_request("user5", "*", PHONE, cseq=9, extra=("Expires: 0",))])
    waits_for_journal(registrar)
    kill_everything(registrar)
    reboot(registrar)
    registrar.start()
    del before["sip:user5@example.com"]
    assert bindings_in(registrar) == before


@pytest.mark.alone
def test_shared_25_what_was_answered_is_in_the_journal_100_ms_later_on_a_machine_that_has_time(registrar, sleeper):
    """As near as a test can come to it on a machine of others: a quarter of 40. Written once a second, a tenth were."""
    until(lambda: not journal_facts(registrar).get("is_compacting", True), 30, "the first journal")
    late = []
    for n in range(40):
        before = journal_of(registrar).stat().st_size
        register_all(registrar, ordinary(1, n))
        answered = time.time()
        until(lambda size=before: journal_of(registrar).stat().st_size > size, 30, "the append")
        late.append(time.time() - answered - sleeper.slack(answered))
    assert sorted(late)[10] < 0.1, sorted(late)


def test_shared_25_a_worker_that_is_killed_right_after_the_commit_takes_nothing_along(registrar):
    """Workers and the journal's helper are killed again and again while phones register."""
    victims = processes(registrar)[1:]
    for round_ in range(12):
        register_all(registrar, ordinary(40, 40 * round_))
        victim = victims[round_ % len(victims)]
        os.kill(victim, signal.SIGKILL)
        # Until it is reaped it is still among them.
        until(lambda victim=victim: len(now := processes(registrar)) == 5 and victim not in now, 30, "the restart")
        victims = processes(registrar)[1:]
    before = bindings_in(registrar)
    assert len(before) == 480
    waits_for_journal(registrar)
    kill_everything(registrar)
    wipe(registrar)
    registrar.tolerated = r" died | is stuck"
    registrar.start()
    assert bindings_in(registrar) == before


def test_removals_and_expiry_are_in_the_journal_too(registrar):
    register_all(registrar, [*ordinary(30), *ordinary(30, 100, expires=60)])
    register_all(registrar, [register_request(f"u{n}", "*", PHONE, cseq=2, extra=("Expires: 0",)) for n in range(10)])
    waits_for_journal(registrar)
    kill_everything(registrar)
    wipe(registrar)
    registrar.start()
    assert set(bindings_in(registrar)) == {f"sip:u{n}@example.com" for n in (*range(10, 30), *range(100, 130))}


def test_a_clean_stop_leaves_nothing_out(registrar):
    register_all(registrar, ordinary(300))
    before = bindings_in(registrar)
    assert registrar.stop(signal.SIGINT) == 0
    wipe(registrar)
    registrar.start()
    assert bindings_in(registrar) == before


def test_fresh_forgets_the_journal_too(registrar):
    register_all(registrar, ordinary(5))
    assert registrar.stop() == 0
    registrar.start("--fresh")
    assert bindings_in(registrar) == {}
    assert registrar.stop() == 0
    wipe(registrar)
    registrar.start()
    assert bindings_in(registrar) == {}


def test_tables_that_survived_win_over_an_older_journal(registrar):
    register_all(registrar, ordinary(5))
    assert registrar.stop() == 0
    old = journal_of(registrar).read_bytes()
    registrar.start()
    register_all(registrar, [register_request("u1", "*", PHONE, cseq=2, extra=("Expires: 0",))])
    before = bindings_in(registrar)
    assert registrar.stop() == 0
    journal_of(registrar).write_bytes(old)
    registrar.start()
    assert bindings_in(registrar) == before and "sip:u1@example.com" not in before
    assert lines_of(registrar, "location.restored") == []
    waits_for_journal(registrar)
    until(lambda: journal_facts(registrar).get("records") == 4, 30, "the new journal")


def launched_and_killed(proxy):
    """Once it has begun to restore."""
    proxy.launch()
    location = proxy.shared / "location"
    until(lambda: location.exists() and len(bindings_in(proxy)) > 50, 30, "the beginning of it")
    kill_everything(proxy)


def test_a_start_that_was_killed_while_it_restored_is_made_up_for(registrar):
    register_all(registrar, varied(1500))
    before = bindings_in(registrar)
    waits_for_journal(registrar)
    kill_everything(registrar)
    wipe(registrar)
    for _ in range(20):  # it may have done it before anybody looks
        launched_and_killed(registrar)
        if len(bindings_in(registrar)) < len(before):
            break
        wipe(registrar)
    assert len(bindings_in(registrar)) < len(before), "it was killed too late to show anything"
    registrar.start()
    assert bindings_in(registrar) == before


def test_a_table_that_has_become_too_small_takes_as_many_as_fit_and_one_line_says_so(registrar):
    register_all(registrar, ordinary(1000))
    assert registrar.stop() == 0
    wipe(registrar)
    text = registrar.configuration.read_text()
    registrar.configuration.write_text(text.replace("max_bindings = 10000", "max_bindings = 300"))
    registrar.tolerated = "location.full"
    registrar.start()
    (told,) = lines_of(registrar, "location.full")
    missing = int(re.search(r"not_restored=(\d+)", told)[1])
    assert len(bindings_in(registrar)) == 1000 - missing >= 300


# -- damage


def test_random_bytes_anywhere_cost_what_they_touch(registrar):
    register_all(registrar, ordinary(500))
    before = bindings_in(registrar)
    assert registrar.stop() == 0
    with journal_of(registrar).open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for at in (0, 5, 60, size // 4, size // 2, size * 3 // 4):
            file.seek(at)
            file.write(os.urandom(40))
        file.seek(size)
        file.write(os.urandom(33))
    wipe(registrar)
    registrar.tolerated = "journal.damaged"
    registrar.start()
    after = bindings_in(registrar)
    assert 500 - 6 <= len(after) < 500
    assert all(before[aor] == record for aor, record in after.items())
    assert "gaps=3" in lines_of(registrar, "journal.damaged")[0] and "bytes=33" in lines_of(registrar, "journal.cut")[0]


def test_a_directory_in_its_place_is_said_and_costs_the_journal_alone(registrar):
    assert registrar.stop() == 0
    journal_of(registrar).unlink()
    journal_of(registrar).mkdir()
    wipe(registrar)
    registrar.tolerated = "journal.failed"
    registrar.start()
    register_all(registrar, ordinary(20))
    found = until(lambda: (s := registrar.status()["journal"]) and s["behind_secs"] > 0.5 and s, 30, "the status")
    assert found["error"] == "it is no file" and found["waiting"] >= 20
    assert "error: it is no file" in registrar.control("status").stdout
    journal_of(registrar).rmdir()
    until(lambda: registrar.status()["journal"]["error"] is None, 60, "the recovery")
    waits_for_journal(registrar)
    kill_everything(registrar)
    wipe(registrar)
    registrar.start()
    assert len(bindings_in(registrar)) == 20


def test_shared_26_a_journal_of_another_format_is_set_aside_and_never_misread(registrar):
    register_all(registrar, ordinary(5))
    assert registrar.stop() == 0
    data = bytearray(journal_of(registrar).read_bytes())
    for copy in (0, 512):
        length = int.from_bytes(data[copy + 12 : copy + 16], "little")
        data[copy + 8] = 9
        data[copy + length - 4 : copy + length] = zlib.crc32(data[copy : copy + length - 4]).to_bytes(4, "little")
    journal_of(registrar).write_bytes(data)
    wipe(registrar)
    registrar.tolerated = "journal.set_aside"
    registrar.start()
    assert "it is of format 9, this program writes format 1" in lines_of(registrar, "journal.set_aside")[0]
    assert bindings_in(registrar) == {}
    assert journal_of(registrar).with_name("location-test.journal.aside").read_bytes() == data


# -- disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_survived_and_made_good_when_there_is_room(siphond, small_disk):
    proxy = siphond(workers=2, script=OPEN_REGISTRAR)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace(f"{proxy.directory}/state", str(small_disk)))
    proxy.tolerated = "journal.(failed|compaction_failed)"
    proxy.start()
    journal = small_disk / "location-test.journal"
    register_all(proxy, ordinary(50))
    until(lambda: (proxy.status()["journal"] or {}).get("waiting") == 0, 30, "the journal")
    (small_disk / "ballast").write_bytes(bytes(int(os.statvfs(small_disk).f_bavail) * 4096))
    began = time.monotonic()
    for first in range(50, 450, 50):
        register_all(proxy, ordinary(50, first))
    state = until(lambda: (s := proxy.status()["journal"])["behind_secs"] > 2 and s, 20, "the outage")
    assert state["error"] == "no space left on device" and state["waiting"] > 300
    assert 1 <= len(lines_of(proxy, "journal.failed")) <= 3 + (time.monotonic() - began) / 10
    register_all(proxy, ordinary(1, 450))
    (small_disk / "ballast").unlink()
    until(lambda: (s := proxy.status()["journal"])["waiting"] == 0 and s["error"] is None, 30, "the recovery")
    until(lambda: lines_of(proxy, "journal.recovered"), 20, "the line")
    before = bindings_in(proxy)
    assert len(before) == 451
    kill_everything(proxy)
    wipe(proxy)
    proxy.start()
    assert bindings_in(proxy) == before and journal.exists()


def test_a_limit_on_the_size_of_files_is_an_error_like_any_other(registrar):
    """Without rights of root: the helper alone is limited, and neither killed by it nor restarted."""
    register_all(registrar, ordinary(400))
    waits_for_journal(registrar)
    until(lambda: not journal_facts(registrar).get("is_compacting", True), 20, "the first journal")
    registrar.tolerated = "journal.(failed|compaction_failed)"
    helper = next(h for h in registrar.status()["helpers"] if h["name"] == "journal")
    limit = journal_of(registrar).stat().st_size + 100
    _, most = resource.prlimit(helper["pid"], resource.RLIMIT_FSIZE)
    resource.prlimit(helper["pid"], resource.RLIMIT_FSIZE, (limit, most))
    register_all(registrar, ordinary(50, 400))
    state = until(lambda: (s := registrar.status()["journal"])["behind_secs"] > 0.5 and s, 20, "the error")
    assert state["error"] == "file too large" and state["waiting"] >= 50
    resource.prlimit(helper["pid"], resource.RLIMIT_FSIZE, (most, most))
    until(lambda: (s := registrar.status()["journal"])["waiting"] == 0 and s["error"] is None, 30, "the recovery")
    assert next(h for h in registrar.status()["helpers"] if h["name"] == "journal")["pid"] == helper["pid"]
    kill_everything(registrar)
    wipe(registrar)
    registrar.start()
    assert len(bindings_in(registrar)) == 450


def test_a_file_system_that_becomes_read_only_is_survived(siphond, small_disk):
    proxy = siphond(workers=2, script=OPEN_REGISTRAR)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace(f"{proxy.directory}/state", str(small_disk)))
    proxy.tolerated = "journal.(failed|compaction_failed)"
    proxy.start()
    until(lambda: not journal_facts(proxy).get("is_compacting", True), 30, "the first journal")
    # Nobody can make a file system read-only under a file that is open for writing; another one in its place can be.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(small_disk)], check=True)
    try:
        register_all(proxy, ordinary(20))
        until(lambda: "read-only file system" in str(proxy.status()["journal"]["error"]), 20, "the error")
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)
    until(lambda: (s := proxy.status()["journal"])["waiting"] == 0 and s["error"] is None, 30, "the recovery")
    before = bindings_in(proxy)
    kill_everything(proxy)
    wipe(proxy)
    proxy.start()
    assert bindings_in(proxy) == before and len(before) == 20


def test_two_instances_may_have_a_state_directory_in_common(siphond):
    first = siphond(workers=1, script=OPEN_REGISTRAR).start()
    second = siphond(workers=1, script=OPEN_REGISTRAR)
    text = second.configuration.read_text().replace(str(second.directory / "state"), str(first.directory / "state"))
    second.configuration.write_text(text.replace('instance_id = "test"', 'instance_id = "other"'))
    second.start()
    register_all(first, ordinary(3))
    register_all(second, ordinary(4, 10))
    for proxy in (first, second):
        assert proxy.stop() == 0
        wipe(proxy)
        proxy.start()
    assert (len(bindings_in(first)), len(bindings_in(second))) == (3, 4)


def test_the_same_instance_twice_on_one_state_directory_leaves_the_journal_to_the_first(siphond):
    first = siphond(workers=1, script=OPEN_REGISTRAR).start()
    second = siphond(workers=1, script=OPEN_REGISTRAR)
    text = second.configuration.read_text().replace(str(second.directory / "state"), str(first.directory / "state"))
    second.configuration.write_text(text)
    second.tolerated = "journal.failed.*another siphond writes to it"
    second.start()
    register_all(first, ordinary(3))
    assert until(lambda: lines_of(second, "journal.failed"), 30, "the error")
    second.stop()  # while the first still holds it: a journal that nobody holds would be the second's
    assert first.stop() == 0
    wipe(first)
    first.start()
    assert len(bindings_in(first)) == 3


def test_a_phone_behind_nat_is_reached_after_the_reboot_where_it_was_seen(registrar):
    """What was received from where is kept with the binding: the Contact names an address nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        at = phone.getsockname()
        request = register_request("natted", "<sip:natted@192.0.2.99:9>", at).replace(
            b"REGISTER sip:example.com ", b"REGISTER sip:nat@example.com "
        )
        phone.sendto(request, registrar.address)
        phone.settimeout(20)
        assert phone.recv(65535).startswith(b"SIP/2.0 200")
        waits_for_journal(registrar)
        kill_everything(registrar)
        wipe(registrar)
        registrar.start()
        with Agent(registrar.address, "caller") as caller:
            caller.send(caller.request("MESSAGE", "sip:natted@example.com"))
            assert phone.recv(65535).startswith(b"MESSAGE ")
