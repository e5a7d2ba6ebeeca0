"""The messages of RFC 4475 that no editor writes: those with parts that the RFC gives as octets.

The files lie beside this one like all others; tests/sip/test_corpus.py holds them to what is made here.
`python tests/messages/generate.py` writes them.
"""

from pathlib import Path

HERE = Path(__file__).parent


def message(start: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((start, *lines, b"", body))


def intmeth() -> bytes:
    """Control characters in quoted pairs, Cyrillic and Chinese text, all that a token may have (§3.1.1.2)."""
    method = b"!interesting-Method0123456789_*+`.%indeed'~"
    user = b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    return message(
        method + b" sip:" + user + b":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
        b"Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~",
        b'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:' + user + b"@example.com>",
        b"From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\""
        + bytes.fromhex("D180D0B0D0B1D0BED182D0B0D18ED189D0B8D0B9")
        + b"\";tag=_token~1'+`*%!-.",
        b"Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        b"CSeq: 139122385 " + method,
        b"Max-Forwards: 255",
        b"extensionHeader-!.%*+_`'~: " + bytes.fromhex("EFBBBFE5A4A7E5819CE99BBB"),
        b"Content-Length: 0",
    )


def unreason() -> bytes:
    """A reason phrase of digits, operators and Cyrillic text (§3.1.1.12)."""
    words = ("D0BDD0BE", "D181D182D0BE", "D0B4D0B5D0B2D18FD0BDD0BED181D182D0BE", "D0B4D0B5D0B2D18FD182D18C")
    phrase = b" ".join((*map(bytes.fromhex, words), b"-", bytes.fromhex("D0BFD180D0BED181D182D0BED0B5")))
    return message(
        b"SIP/2.0 200 = 2**3 * 5**2 " + phrase,
        b"Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923",
        b"Call-ID: unreason.1234ksdfak3j2erwedfsASdf",
        b"CSeq: 35 INVITE",
        b"From: sip:user@example.com;tag=11141343",
        b"To: sip:user@example.edu;tag=2229",
        b"Content-Length: 0",
    )


def mpart01() -> bytes:
    """A body in parts, one of them binary: a beginning of DER with NUL and octets above 127 (§3.1.1.11)."""
    edge = b"--7a9cbec02ceef655"
    binary = bytes.fromhex("30820152 06092A864886 000000 FF")
    text = (edge, b"Content-Type: text/plain", b"", b"Hello")
    body = b"\r\n".join(
        (*text, edge, b"Content-Type: application/octet-stream", b"", binary, edge + b"--", b""),
    )
    return message(
        b"MESSAGE sip:kumiko@example.org SIP/2.0",
        b"Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport",
        b"Max-Forwards: 70",
        b"Route: <sip:127.0.0.1:5080>",
        b"Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuL",
        b"Contact: <sip:fluffy@127.0.0.1:5070>",
        b"To: <sip:kumiko@example.org>",
        b"From: <sip:fluffy@example.com>;tag=2fb0dcc9",
        b"Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..",
        b"CSeq: 1 MESSAGE",
        b"Content-Type: multipart/mixed;boundary=7a9cbec02ceef655",
        b"User-Agent: SIPimp.org/0.2.5 (curses)",
        b"Content-Length: %d" % len(body),
        body=body,
    )


MADE = {"intmeth": intmeth, "unreason": unreason, "mpart01": mpart01}

if __name__ == "__main__":
    for name, make in MADE.items():
        (HERE / "valid" / f"{name}.sip").write_bytes(make())
