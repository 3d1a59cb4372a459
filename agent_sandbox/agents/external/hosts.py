"""The hosts that a program may reach: how they are written, and which addresses they may mean.

A host is `NAME:PORT`; NAME is a DNS name in ASCII, `localhost`, or an address. A name must mean an
address of the public network: one that leads to this machine, to a private network or to a cloud's
metadata service is reached only if it was itself named, as an address or as `localhost`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from lra_design.errors import UsageError

DEFAULT_PORT = 443
LOCALHOST = "localhost"
_MAX_NAME = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_AUTHORITY = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Host:
    """One place to reach, by TCP."""

    name: str
    """In lower case; an address without brackets."""
    port: int

    @property
    def address(self) -> Address | None:
        """What it is when it is an address and no name."""
        return address_of(self.name)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}"


def parse_host(text: str, default_port: int | None = None) -> Host:
    """The host that `NAME:PORT` or `[IPv6]:PORT` names.

    default_port: where PORT may be missing. Raises ValueError, which says what is wrong.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("a host is NAME or NAME:PORT in ASCII: no scheme, path, user or wildcard")
    bracketed, plain, port = match.groups()
    if port is None and default_port is None:
        raise ValueError("the port is missing")
    number = default_port if port is None else int(port)
    if number is None or not 1 <= number <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return Host(_address_name(bracketed) if bracketed else _name(plain.lower()), number)


def parse_hosts(text: str) -> tuple[Host, ...]:
    """The hosts of a list with commas, port 443 unless said otherwise, each once.

    Raises UsageError for what is no host, and for an address that nobody can be reached at.
    """
    hosts = []
    for part in text.split(","):
        try:
            host = parse_host(part.strip(), DEFAULT_PORT)
            if (at := host.address) is not None and (at.is_multicast or at.is_unspecified):
                raise ValueError("nobody is reached at that address")
        except ValueError as error:
            raise UsageError(
                f"expected hosts after --agent-network, as in api.example.org,localhost:11434; "
                f"found {part.strip()[:300]!r}: {error}."
            ) from None
        hosts.append(host)
    return tuple(dict.fromkeys(hosts))


def may_mean(host: Host, address: Address) -> bool:
    """Whether `host`, which was named, may be reached at `address`, to which it resolves."""
    if (named := host.address) is not None:
        return address == named
    if host.name == LOCALHOST:
        return address.is_loopback
    return _is_public(address) and not _is_own(address)


def _name(text: str) -> str:
    """A DNS name, or an IPv4 address in its one plain form."""
    labels = text.split(".")
    if _NUMERIC.fullmatch(labels[-1]):  # resolvers take 127.1 and 0x7f000001 for addresses
        return _address_name(text)
    if len(text) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("this is no DNS name")
    return text


def _address_name(text: str) -> str:
    address = address_of(text)
    if address is None:
        raise ValueError("this is no IP address in its plain form")
    return str(address)


def address_of(text: str) -> Address | None:
    """The IP address that `text` is; None for anything else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    """It leads out of this machine and its networks; also where IPv6 wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _is_own(address: Address) -> bool:
    """An address that can be bound is this machine's, public or not."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
