"""Flow: where a request came in, or how a registered contact is reached; a plain value, valid in every worker."""

from __future__ import annotations

from dataclasses import dataclass

from siphon.script.outcome import FlowSpec


def address(ip: str, port: int) -> str:
    """ "ip:port", an IPv6 address in brackets."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def split_address(text: str) -> tuple[str, int]:
    """The numeric ip (without brackets) and the port of `address`; ValueError when it is not one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise ValueError(f"not an ip:port: {text!r}")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Flow:
    """A peer's address and ours. For UDP the flow is the pair of addresses, so it is always alive."""

    transport: str
    remote_addr: str
    local_addr: str
    connection_id: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether a message can be sent over it; True for UDP."""
        return self.transport == "udp"

    def spec(self) -> FlowSpec:
        """The flow as the engine takes it; ValueError when an address is not "ip:port"."""
        for end in (self.remote_addr, self.local_addr):
            split_address(end)
        return FlowSpec(self.transport, self.remote_addr, self.local_addr, self.connection_id)


def udp_flow(remote: tuple[str, int], local: tuple[str, int]) -> Flow:
    """The flow of a datagram: remote and local numeric address and port."""
    return Flow("udp", address(*remote), address(*local), f"udp:{address(*local)}:{address(*remote)}")
