"""The scanner once more, in plain Python: slow, made of find, split and regular expressions, the oracle of the tests.

`reference(raw, limits)` gives what `siphon.sip.message.parse` must give: a dict of every field and span of the message,
or `verdict` with status and reason when it is refused. It shares no code with the compiled scanner.
"""

import re
import socket
from typing import Any

WS = b" \t\r\n"
LONG = dict(
    zip(
        "abcdefijklmnorstuvxy",
        [
            "accept-contact",
            "referred-by",
            "content-type",
            "request-disposition",
            "content-encoding",
            "from",
            "call-id",
            "reject-contact",
            "supported",
            "content-length",
            "contact",
            "identity-info",
            "event",
            "refer-to",
            "subject",
            "to",
            "allow-events",
            "via",
            "session-expires",
            "identity",
        ],
        strict=False,
    )
)
TOKEN = rb"[A-Za-z0-9\-.!%*_+`'~]+"
VALUE = rb"[\x21\x23-\x2b\x2d-\x3a\x3d\x3f-\x7e\x80-\xff]+"
QUOTED = rb'"(?:[^"\\]|\\.)*"'
PARAM = re.compile(
    rb"[ \t\r\n]*(?P<name>" + TOKEN + rb")(?P<rest>[ \t\r\n]*=[ \t\r\n]*(?P<value>" + QUOTED + rb"|" + VALUE + rb"))?"
    rb"[ \t\r\n]*(?=[;,]|\Z)",
    re.DOTALL,
)
OPAQUE = re.compile(rb"[\x21\x23-\x3b\x3d\x3f\x41-\x7e\x80-\xff]*\Z")
NAME = re.compile(rb"(?!\.)(?:[A-Za-z0-9\-_]|\.(?!\.))+\Z")
VIA_READ = ("branch", "received", "rport", "maddr")
DISPLAY = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~ \t\r\n()/\[\]=?{}&#$^|\x80-\xff]*(?=<)")


class Fault(Exception):
    pass


class First:
    """Only the first fault counts."""

    def __init__(self) -> None:
        self.fault: tuple[int, str] | None = None

    def __call__(self, status: int, reason: str) -> None:
        if self.fault is None:
            self.fault = (status, reason)


def lower(data: bytes) -> str:
    return data.decode("latin-1").lower() if data.isascii() else data.decode("latin-1")


def long_form(name: bytes) -> str:
    return LONG.get(lower(name), lower(name))


def escapes_right(data: bytes) -> bool:
    return all(re.match(rb"[0-9A-Fa-f]{2}", rest) for rest in data.split(b"%")[1:])


def well_formed(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def host_size(data: bytes) -> int:
    """How many octets at the start are a host; Fault when none are."""
    if data.startswith(b"["):
        end = data.find(b"]")
        try:
            if not 0 < end <= 46 or b"\0" in data[:end]:
                raise Fault
            socket.inet_pton(socket.AF_INET6, data[1:end].decode("ascii"))
        except (OSError, UnicodeDecodeError) as wrong:
            raise Fault from wrong
        return end + 1
    found = re.match(rb"[A-Za-z0-9\-._]+", data)
    if not found or not NAME.match(found.group()):
        raise Fault
    return found.end()


def port_size(data: bytes) -> tuple[int, int]:
    digits = re.match(rb"[0-9]*", data)
    assert digits
    text = digits.group()
    if not text or len(text.lstrip(b"0")) > 5 or not 1 <= int(text) <= 65535:
        raise Fault
    return len(text), int(text)


def check_uri(data: bytes, *, request_uri: bool = False) -> None:
    """Fault when it is no URI; the fault's argument tells what a Request-URI must not have."""
    scheme = re.match(rb"[A-Za-z\-.!*_+`'~][A-Za-z0-9\-.!*_+`'~]*:", data)
    if not scheme or scheme.end() == len(data):
        raise Fault("Bad Request-URI")
    rest = data[scheme.end() :]
    if scheme.group().lower() not in (b"sip:", b"sips:"):
        if not OPAQUE.match(rest.replace(b"@", b"")):
            raise Fault("Bad Request-URI")
        return
    userinfo, at, tail = rest.partition(b"@")
    if not at:
        tail = rest
    elif not userinfo or userinfo.startswith(b":") or not OPAQUE.match(userinfo) or not escapes_right(userinfo):
        raise Fault("Bad Request-URI")
    try:
        size = host_size(tail)
        tail = tail[size:]
        if tail.startswith(b":"):
            size, _ = port_size(tail[1:])
            tail = tail[1 + size :]
    except Fault:
        raise Fault("Bad Request-URI") from None
    if tail[:1] not in (b"", b";", b"?") or not OPAQUE.match(tail) or not escapes_right(tail):
        raise Fault("Bad Request-URI")
    params, query, _ = tail.partition(b"?")
    names = [item.partition(b"=")[0] for item in params.split(b";")[1:]]
    if not all(names):
        raise Fault("Bad Request-URI")
    if request_uri and query:
        raise Fault("Headers In Request-URI")
    if request_uri and repeated(names):
        raise Fault("Repeated Parameter In Request-URI")


def repeated(names: list[bytes], always: tuple[str, ...] = ()) -> bool:
    """Is a name there twice? Only the first 32 different ones are remembered, and those of `always`."""
    seen: list[str] = []
    for name in names:
        if lower_ascii(name) in seen:
            return True
        if len(seen) < 32 or lower_ascii(name) in always:
            seen.append(lower_ascii(name))
    return False


def lower_ascii(data: bytes) -> str:
    return data.lower().decode("latin-1")


def read_params(data: bytes, at: int, *, stop_at_comma: bool) -> tuple[list[tuple[int, int, int, int]], int]:
    """Spans (name start, name end, value start, value end) of the parameters from `at` on, and the end."""
    found: list[tuple[int, int, int, int]] = []
    while data[at : at + 1] == b";":
        param = PARAM.match(data, at + 1)
        if not param:
            raise Fault
        found.append((*param.span("name"), *param.span("value")))
        at = param.end()
    if at < len(data) and not stop_at_comma:
        raise Fault
    return found, at


def read_address(value: bytes) -> dict[str, Any]:
    start = len(value) - len(value.lstrip(WS))
    if start >= len(value):
        raise Fault
    quoted = re.compile(QUOTED + rb"[ \t\r\n]*(?=<)", re.DOTALL).match(value, start)
    plain = DISPLAY.match(value, start)
    if value[start : start + 1] == b'"' and not quoted:
        raise Fault
    name = quoted or plain
    if name:
        uri_start = name.end() + 1
        uri_end = value.find(b">", uri_start)
        if uri_end < 0:
            raise Fault
        at = uri_end + 1
    else:
        uri_start = start
        found = re.compile(rb"[^;\x00-\x20]*").match(value, start)
        assert found
        uri_end = at = found.end()
        if b"," in found.group() or b"?" in found.group():
            raise Fault
    check_uri(value[uri_start:uri_end])
    at += len(value[at:]) - len(value[at:].lstrip(WS))
    params, _ = read_params(value, at, stop_at_comma=False)
    tag = None
    if repeated([value[a:b] for a, b, _, _ in params], ("tag",)):
        raise Fault
    for a, b, c, d in params:
        if value[a:b].lower() == b"tag":
            if c < 0:
                raise Fault
            tag = value[c:d]
    return {"uri": value[uri_start:uri_end], "tag": tag}


def read_via(value: bytes) -> tuple[dict[str, Any], int, bool]:
    """The first value of the list: fields, where it ends, whether it is faulty. No fields: unusable."""
    protocol = re.compile(
        rb"[ \t\r\n]*"
        + TOKEN
        + rb"[ \t\r\n]*/[ \t\r\n]*"
        + TOKEN
        + rb"[ \t\r\n]*/[ \t\r\n]*("
        + TOKEN
        + rb")[ \t\r\n]+"
    ).match(value)
    if not protocol:
        return {}, 0, True
    at = protocol.end()
    start = len(value) - len(value.lstrip(WS))
    try:
        end = at + host_size(value[at:])
        via: dict[str, Any] = {"transport": protocol.group(1).decode().upper(), "host": value[at:end], "port": 0}
        colon = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*").match(value, end)
        if colon:
            size, via["port"] = port_size(value[colon.end() :])
            end = colon.end() + size
    except Fault:
        return {}, 0, True
    via.update(branch=b"", received=None, rport=None, maddr=None, value=value[start:end])
    at = end + len(value[end:]) - len(value[end:].lstrip(WS))
    faulty = False
    names: list[bytes] = []
    while value[at : at + 1] == b";":
        param = PARAM.match(value, at + 1)
        if not param:
            return via, at, True
        names.append(param["name"])
        if repeated(names, VIA_READ) or not via_param(via, lower_ascii(param["name"]), param["value"]):
            return via, at, True
        via["value"] = value[start : param.end("value") if param["value"] is not None else param.end("name")]
        at = param.end()
    if at < len(value) and value[at : at + 1] != b",":
        faulty = True
    return via, at, faulty


def via_param(via: dict[str, Any], name: str, value: bytes | None) -> bool:
    if name == "rport":
        if value is not None and (not re.match(rb"0*[0-9]{1,5}\Z", value) or int(value) > 65535):
            return False
        via["rport"] = -1 if value is None else int(value)
    elif name in ("branch", "received", "maddr"):
        if value is None:
            return False
        via[name] = value.strip(b"[]").replace(b":::", b"::") if name == "received" else value
        if name == "maddr":
            try:
                return host_size(value) == len(value)
            except Fault:
                return False
    return True


def read_start_line(line: bytes, facts: dict[str, Any], fail: First) -> bool:
    """False when it is no SIP."""
    if line[:4].lower() == b"sip/" and len(line) > 4:
        version, _, rest = line.partition(b" ")
        if version.lower() != b"sip/2.0":
            fail(505, "Version Not Supported")
        elif not re.match(rb"[1-6][0-9]{2}( |\Z)", rest):
            fail(400, "Bad Status Code")
        facts.update(is_request=False, status=int(rest[:3]) if rest[:3].isdigit() else 0, reason=rest[4:])
        facts.update(uri=b"", method=None)
        return True
    found = re.match(rb"(" + TOKEN + rb") ", line)
    stripped = line.rstrip(WS)
    version = re.split(rb"[\x00-\x20]", stripped)[-1]
    if not found or not version.lower().startswith(b"sip/") or len(version) < 5:
        return False
    start, end = found.end(), len(stripped) - len(version) - 1
    if end < start:
        return False
    facts.update(is_request=True, method=found.group(1).decode(), uri=line[start:end], status=0, reason=b"")
    if version.lower() != b"sip/2.0" and re.match(rb"(?i:sip)/[0-9]+\.[0-9]+\Z", version):
        fail(505, "Version Not Supported")
    elif version.lower() != b"sip/2.0" or stripped != line:
        fail(400, "Bad Request-Line")
    else:
        try:
            if line[end : end + 1] != b" ":
                raise Fault("Bad Request-URI")
            check_uri(facts["uri"], request_uri=True)
        except Fault as fault:
            fail(400, str(fault))
    return True


def read_line(data: bytes, at: int, end: int, fail: First) -> re.Match[bytes] | None:
    found = re.compile(rb"(?P<name>" + TOKEN + rb")[ \t]*:[ \t\r\n]*(?P<value>.*?)[ \t\r\n]*\Z", re.DOTALL).match(
        data[:end], at
    )
    if not found:
        fail(400, "Bad Header Line")
    return found


class Reader:
    """Reads the header lines in order; what is remembered and the faults come in the order of the scanner."""

    def __init__(self, facts: dict[str, Any], fail: First) -> None:
        self.facts = facts
        self.fail = fail
        self.values: dict[str, bytes] = {}
        self.via_count = 0
        self.via: dict[str, Any] = {}
        self.content_length = -1

    def take(self, name: str, value: bytes) -> None:
        if name == "via":
            self.take_via(value)
        elif name == "content-length":
            self.take_length(value)
        elif name in ("from", "to", "call-id", "cseq") or (name == "max-forwards" and self.facts["is_request"]):
            if name in self.values:
                written = {"call-id": "Call-ID", "cseq": "CSeq", "max-forwards": "Max-Forwards"}
                self.fail(400, f"Repeated {written.get(name, name.title())}")
            else:
                self.values[name] = value

    def take_via(self, value: bytes) -> None:
        while True:
            self.via_count += 1
            via, at, faulty = read_via(value)
            if self.via_count == 1:
                self.via = via
            if faulty:
                self.fail(400, "Bad Via")
                return
            if at >= len(value):
                return
            value = value[at + 1 :]

    def take_length(self, value: bytes) -> None:
        good = re.match(rb"[0-9]+\Z", value)
        length = min(int(value), 999999999) if good else -1
        if not good or self.content_length not in (-1, length):
            self.fail(400, "Bad Content-Length")
        else:
            self.content_length = length

    def check(self) -> None:
        if not self.via_count:
            self.fail(400, "Missing Via")
        for key, name in (("from", "From"), ("to", "To")):
            self.facts[f"{key}_tag"], self.facts[f"{key}_uri"] = None, b""
            if key not in self.values:
                self.fail(400, f"Missing {name}")
                continue
            try:
                address = read_address(self.values[key])
                self.facts[f"{key}_tag"], self.facts[f"{key}_uri"] = address["tag"], address["uri"]
            except Fault:
                self.fail(400, f"Bad {name}")
        if "call-id" not in self.values:
            self.fail(400, "Missing Call-ID")
        elif not re.match(rb"[\x21-\x7e\x80-\xff]+\Z", self.values["call-id"]):
            self.fail(400, "Bad Call-ID")
        self.check_cseq()
        self.check_hops()

    def check_cseq(self) -> None:
        self.facts.update(cseq=-1, cseq_method="")
        if "cseq" not in self.values:
            self.fail(400, "Missing CSeq")
            return
        found = re.match(rb"([0-9]+)[ \t\r\n]+(" + TOKEN + rb")\Z", self.values["cseq"])
        if not found or int(found[1]) > 2**31 - 1:
            self.fail(400, "Bad CSeq")
            return
        self.facts.update(cseq=int(found[1]), cseq_method=found[2].decode())
        if self.facts["is_request"] and self.facts["cseq_method"] != self.facts["method"]:
            self.fail(400, "CSeq Method Mismatch")

    def check_hops(self) -> None:
        self.facts["max_forwards"] = -1
        value = self.values.get("max-forwards")
        if value is not None:
            if not re.match(rb"[0-9]+\Z", value):
                self.fail(400, "Bad Max-Forwards")
            elif int(value) <= 255:
                self.facts["max_forwards"] = int(value)


def check_nul(section: bytes, fail: First) -> None:
    for found in re.finditer(rb"(\\*)\x00", section):
        if len(found[1]) % 2 == 0:
            fail(400, "NUL In Header")


def reference(raw: bytes, limits: Any) -> dict[str, Any]:
    data = raw.lstrip(b"\r\n")
    facts: dict[str, Any] = {}
    fail = First()
    line, newline, _ = data.partition(b"\n")
    if not newline:
        return {"verdict": "ignore"}
    if not line.endswith(b"\r"):
        fail(400, "Bad Line End")
    body_of_line = line.removesuffix(b"\r")
    if not read_start_line(body_of_line, facts, fail):
        return {"verdict": "ignore"}
    if b"\r" in body_of_line:
        fail(400, "Bad Line End")
    at = len(line) + 1
    if data[at : at + 1] in (b" ", b"\t") and data[at : at + 1]:
        fail(400, "Bad Header Line")
    reader = Reader(facts, fail)
    spans, body_start = scan_lines(data, at, fail, limits, reader)
    if body_start > limits.header_bytes:
        fail(513, "Header Section Too Long")
    if reader.via_count > limits.vias:
        fail(400, "Too Many Vias")
    reader.check()
    check_nul(data[:body_start], fail)
    check_text(data, spans, facts, fail)
    body_end = len(data)
    if reader.content_length > len(data) - body_start:
        fail(400, "Content-Length Too Large")
    elif reader.content_length >= 0:
        body_end = body_start + reader.content_length
    if fail.fault and not facts["is_request"]:
        return {"verdict": "drop"}
    facts["verdict"] = fail.fault or "ok"
    facts["usable_via"] = bool(reader.via)
    if fail.fault:
        return {key: facts[key] for key in ("verdict", "usable_via", "method")}
    facts["raw"] = upper_version(data[:body_end], facts["is_request"])
    facts["method"] = facts["method"] or facts["cseq_method"]
    facts["spans"] = spans
    facts["lines"] = [(data[s:n], unfold(data[v:e])) for s, n, v, e, _ in spans]
    facts.update(body=data[body_start:body_end], body_start=body_start, content_length=reader.content_length)
    facts.update(via=reader.via, via_count=reader.via_count)
    for key in ("from", "to", "call-id"):
        facts[f"{key.replace('-', '_')}_value"] = unfold(reader.values[key])
    return facts


def scan_lines(
    data: bytes, at: int, fail: First, limits: Any, reader: Reader
) -> tuple[list[tuple[int, int, int, int, int]], int]:
    """(start, name end, value start, value end, end) of every header line, and the start of the body."""
    spans: list[tuple[int, int, int, int, int]] = []
    count = 0
    while True:
        if at >= len(data):
            fail(400, "No End Of Headers")
            return spans, len(data)
        if data[at : at + 2] == b"\r\n":
            return spans, at + 2
        if data[at : at + 1] == b"\n":
            fail(400, "Bad Line End")
            return spans, at + 1
        end = logical_line(data, at, fail)
        count += 1
        if count > limits.headers:
            fail(513, "Too Many Headers")
        if end - at > limits.line_bytes:
            fail(513, "Header Too Long")
        found = read_line(data, at, end, fail)
        if found:
            place = found.span("value")
            if place[0] == end:  # empty: behind the colon, in its own line
                place = (data.index(b":", at) + 1,) * 2
            spans.append((at, found.end("name"), *place, end))
            reader.take(long_form(found["name"]), found["value"])
        at = end


def logical_line(data: bytes, at: int, fail: First) -> int:
    """Behind the line at `at` and its continuations."""
    end = at
    while True:
        newline = data.find(b"\n", end)
        if newline < 0:
            fail(400, "No End Of Headers")
            return len(data)
        if data.find(b"\r", end, newline) != newline - 1:
            fail(400, "Bad Line End")
        end = newline + 1
        if not data[end : end + 1] or data[end : end + 1] not in b" \t":
            return end


def check_text(data: bytes, spans: list[tuple[int, int, int, int, int]], facts: dict[str, Any], fail: First) -> None:
    if facts["is_request"] and not well_formed(facts["uri"]):
        fail(400, "Bad Request-URI")
    seen: set[str] = set()
    for start, name_end, value, end, _ in spans:
        name = long_form(data[start:name_end])
        if name == "via" or (name in ("from", "to") and name not in seen):
            seen.add(name)
            if not well_formed(data[value:end]):
                fail(400, "Bad UTF-8")


def unfold(value: bytes) -> bytes:
    lines = re.split(rb"\r?\n", value)
    parts = [lines[0].rstrip(b" \t")] if len(lines) > 1 else [value]
    parts += [line.strip(b" \t") for line in lines[1:-1]] + [line.lstrip(b" \t") for line in lines[1:][-1:]]
    return b" ".join(part for i, part in enumerate(parts) if part or i == 0)


def upper_version(data: bytes, is_request: bool) -> bytes:
    line, newline, rest = data.partition(b"\r\n")
    head, space, version = line.rpartition(b" ") if is_request else (b"", b"", line)
    return head + space + b"SIP" + version[3:] + newline + rest
