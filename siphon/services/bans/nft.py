"""Bans as commands for `nft -f -`: a table of ours, or sets that somebody else's rules use.

With `manage_rule` table, sets, chain and rules are made here, and the rules drop datagrams to our own addresses only:
whoever is banned from SIP may still reach the machine otherwise. Without it nothing but elements is added to and
removed from sets that must be there, of the types ipv4_addr and ipv6_addr with `flags interval, timeout`.

Every element carries its ban's end as a timeout, so that what nobody takes back ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from siphon.config.later import Firewall

PRIORITY = -10
"""Before the filter chains of the administrator, which have 0."""


def setup(firewall: Firewall, ports: Sequence[int]) -> str:
    """What makes everything that is ours, empty. It may be there already."""
    if not firewall.manage_rule:
        return "".join(f"flush set inet {firewall.table} {name}\n" for name in (firewall.set_v4, firewall.set_v6))
    table, chain = f"inet {firewall.table}", f"inet {firewall.table} {firewall.chain}"
    listed = ", ".join(str(port) for port in sorted(set(ports)))
    lines = [f"add table {table}"]
    for name, kind in ((firewall.set_v4, "ipv4_addr"), (firewall.set_v6, "ipv6_addr")):
        lines.append(f"add set {table} {name} {{ type {kind}; flags interval, timeout; }}")
        lines.append(f"flush set {table} {name}")
    lines.append(f"add chain {chain} {{ type filter hook input priority {PRIORITY}; policy accept; }}")
    lines.append(f"flush chain {chain}")
    lines.append(f"add rule {chain} udp dport {{ {listed} }} ip saddr @{firewall.set_v4} counter drop")
    lines.append(f"add rule {chain} udp dport {{ {listed} }} ip6 saddr @{firewall.set_v6} counter drop")
    return "\n".join(lines) + "\n"


def teardown(firewall: Firewall) -> str:
    """What takes back the rules, or the elements."""
    if firewall.manage_rule:
        return f"flush chain inet {firewall.table} {firewall.chain}\n"
    return setup(firewall, ())


def changes(firewall: Firewall, gone: Iterable[str], new: Mapping[str, float]) -> str:
    """`gone` are units that are in a set, `new` units with the seconds they stay."""
    lines = [f"delete element inet {firewall.table} {_set(firewall, unit)} {{ {unit} }}" for unit in gone]
    lines += [
        f"add element inet {firewall.table} {_set(firewall, unit)} {{ {unit} timeout {max(1, round(secs))}s }}"
        for unit, secs in new.items()
    ]
    return "".join(line + "\n" for line in lines)


def _set(firewall: Firewall, unit: str) -> str:
    return firewall.set_v6 if ":" in unit else firewall.set_v4
