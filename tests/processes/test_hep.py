"""tracing.hep against a fake collector, by UDP, TCP and TLS, and its packets read by tshark."""

import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress

import peers
import pytest
from proxy_process import until
from test_bans_process import ANSWER

from siphon.sip.message import parse


class Collector:
    """Keeps the packets that come, by UDP or by a stream."""

    def __init__(self, kind, context=None, port=0):
        self.kind, self.context = kind, context
        self.packets = []
        self.closed = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        self.threads = []
        if kind != "udp":
            self.sock.listen()
        self.sock.settimeout(0.1)
        self.run(self.datagrams if kind == "udp" else self.accept)

    def run(self, call, *arguments):
        thread = threading.Thread(target=call, args=arguments)
        self.threads.append(thread)
        thread.start()

    def datagrams(self):
        while not self.closed:
            with suppress(TimeoutError):
                self.packets.append(self.sock.recv(65535))

    def accept(self):
        while not self.closed:
            try:
                made, _ = self.sock.accept()
            except TimeoutError:
                continue
            self.run(self.read, made)

    def read(self, made):
        made.settimeout(20)
        try:
            peer = made if self.context is None else self.context.wrap_socket(made, server_side=True)
        except OSError:
            made.close()
            return
        with peer:
            peer.settimeout(0.1)
            data = b""
            while not self.closed:
                try:
                    more = peer.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not more:
                    return
                data += more
                while len(data) >= 6 and len(data) >= (length := struct.unpack(">H", data[4:6])[0]):
                    self.packets.append(data[:length])
                    data = data[length:]

    def messages(self):
        """(source, destination, start line) of each."""
        return [parsed(packet) for packet in list(self.packets)]

    def close(self):
        self.closed = True
        for thread in self.threads:
            thread.join()
        self.sock.close()


def parsed(packet):
    found, at = {}, 6
    assert packet[:4] == b"HEP3"
    while at < len(packet):
        _, kind, length = struct.unpack(">HHH", packet[at : at + 6])
        found[kind] = packet[at + 6 : at + length]
        at += length
    place = lambda ip, port: (socket.inet_ntoa(found[ip]), struct.unpack(">H", found[port])[0])  # noqa: E731
    sent = struct.unpack(">I", found[9])[0] + struct.unpack(">I", found[10])[0] / 1e6
    assert abs(time.time() - sent) < 60 and found[12] == struct.pack(">I", 7)
    parse(found[15])
    return place(3, 7), place(4, 8), found[15].split(b"\r\n")[0].decode()


@pytest.fixture
def certificate(tmp_path):
    """(certificate, key) for collector.example.com, signed by itself."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=collector"]
    line += ["-addext", "subjectAltName=DNS:collector.example.com", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(line, check=True, capture_output=True)
    return paths


@pytest.fixture
def collector(certificate):
    made = []

    def make(kind, port=0):
        context = None
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        made.append(Collector(kind, context, port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def hep(kind, port, certificate=None, name="collector.example.com"):
    text = (
        f'\n[tracing.hep]\nendpoint = "127.0.0.1:{port}"\ntransport = "{kind}"\nagent_id = 7\nerror_log_interval = 1\n'
    )
    return text + (f'ca_cert = "{certificate[0]}"\ntls_server_name = "{name}"\n' if kind == "tls" else "")


def ask(proxy, agent):
    alice = agent(proxy, "alice")
    alice.insist(alice.request("OPTIONS", "sip:example.com"), "200 OPTIONS")
    return alice


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
def test_every_message_of_a_call_is_copied_with_its_addresses(siphond, agent, collector, certificate, kind):
    there = collector(kind)
    proxy = siphond(workers=2, more=hep(kind, there.port, certificate)).start()
    until(lambda: (ask(proxy, agent), there.packets)[1], 20, "the first copy")
    if kind != "udp":
        until(lambda: (ask(proxy, agent), len(there.threads) > 2)[1], 20, "a connection of each worker")
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    assert bob.register().status == 200
    dropped = proxy.status()["counters"]["hep_dropped"]  # while there was no connection yet
    there.packets.clear()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    invite = bob.expect("INVITE")
    bob.respond(invite, 486, "Busy")
    alice.expect("486 INVITE")
    at_alice, at_bob, ours = alice.address, bob.address, proxy.address
    wanted = {
        (at_alice, ours, "INVITE sip:bob@example.com SIP/2.0"),
        (ours, at_bob, invite.start),
        (at_bob, ours, "SIP/2.0 486 Busy"),
        (ours, at_alice, "SIP/2.0 486 Busy"),
    }
    until(lambda: wanted <= set(there.messages()), 20, "the copies")
    until(
        lambda: any(text.startswith("ACK ") and (a, b) == (ours, at_bob) for a, b, text in there.messages()),
        20,
        "the ACK, perhaps by another worker",
    )
    assert proxy.status()["counters"]["hep_dropped"] == dropped


def test_a_collector_that_is_away_costs_no_call_and_one_line_an_interval(siphond, agent):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        proxy = siphond(script=ANSWER, workers=2, more=hep("tcp", nobody.getsockname()[1])).start()
        began = time.monotonic()
        for _ in range(30):
            ask(proxy, agent)
        assert proxy.status()["counters"]["hep_dropped"] >= 60
        until(lambda: "hep.dropped" in proxy.log(), 20, "a line")
        told = proxy.log().count("hep.dropped")
        assert told <= 3 * (time.monotonic() - began + 5)


def test_a_collector_that_reads_nothing_costs_no_call_and_bounded_memory(siphond, agent):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        proxy = siphond(script=ANSWER, workers=1, more=hep("tcp", deaf.getsockname()[1])).start()
        alice = ask(proxy, agent)
        request = alice.request("OPTIONS", "sip:example.com").replace(
            b"Content-Length", b"X-Long: " + b"x" * 7000 + b"\r\nContent-Length", 1
        )

        def fill():
            """What is dropped while it connects says another reason."""
            for _ in range(200):
                alice.send(request)
            return "does not read fast enough" in proxy.log()

        until(fill, 60, "a drop")
        ask(proxy, agent)
        assert proxy.status()["counters"]["hep_dropped"] > 0


def test_a_collector_that_comes_back_gets_copies_again(siphond, agent, collector):
    first = collector("tcp")
    proxy = siphond(script=ANSWER, workers=1, more=hep("tcp", first.port)).start()
    until(lambda: (ask(proxy, agent), first.packets)[1], 20, "the first copy")
    first.close()
    second = collector("tcp", first.port)
    until(lambda: (ask(proxy, agent), second.packets)[1], 20, "a copy on a new connection")


def test_a_collector_with_a_certificate_of_another_name_gets_nothing(siphond, agent, collector, certificate):
    there = collector("tls")
    proxy = siphond(script=ANSWER, workers=1, more=hep("tls", there.port, certificate, "other.example.com")).start()
    until(lambda: (ask(proxy, agent), "hep.dropped" in proxy.log())[1], 20, "the line")
    until(
        lambda: (ask(proxy, agent), "CERTIFICATE_VERIFY_FAILED" in proxy.log().upper().replace(" ", "_"))[1], 20, "why"
    )
    assert there.packets == []


@peers.needs("tshark")
def test_tshark_reads_what_a_collector_makes_of_the_packets(siphond, agent, collector, tmp_path):
    """It knows no HEP itself: what a collector would show, messages between the addresses told, is given to it."""
    there = collector("udp")
    proxy = siphond(script=ANSWER, workers=1, more=hep("udp", there.port)).start()
    until(lambda: (ask(proxy, agent), len(there.packets) >= 6)[1], 20, "copies")
    packets = list(there.packets)
    file = tmp_path / "hep.pcap"
    file.write_bytes(capture(packets))
    fields = ["ip.src", "udp.srcport", "ip.dst", "udp.dstport", "sip.Method", "sip.Status-Code", "_ws.malformed"]
    line = ["tshark", "-r", str(file), "-d", f"udp.port=={proxy.port},sip", "-T", "fields"]
    done = subprocess.run(
        [*line, *(word for name in fields for word in ("-e", name))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rows = [row.split("\t") for row in done.stdout.splitlines()]
    assert len(rows) == len(packets)
    for row, (source, to, start) in zip(rows, map(parsed, packets), strict=True):
        assert row[:4] == [source[0], str(source[1]), to[0], str(to[1])]
        assert (row[4] or row[5]) in start and row[6] == ""
    assert {row[4] for row in rows} >= {"OPTIONS"} and "200" in {row[5] for row in rows}


def capture(packets):
    """A capture file of the messages in HEP packets, as raw IPv4 datagrams."""
    made = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)
    for number, packet in enumerate(packets):
        source, to, _ = parsed(packet)
        data = packet[packet.index(b"\r\n") - len(parsed(packet)[2]) :]
        udp = struct.pack(">HHHH", source[1], to[1], 8 + len(data), 0) + data
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0) + addresses + udp
        made += struct.pack("<IIII", 1_800_000_000, number, len(ip), len(ip)) + ip
    return made
