"""``wanstage pair``, ``clients`` and ``unpair`` on a backend's machine, ``wanstage connect CODE`` on a client's.

The first three work on the data folder's files, whether a backend runs or not; one that runs sees it within a second.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from protocol import connection, known, pairing_code
from protocol.errors import PairingRefused
from protocol.pairing import Pairing
from protocol.pairing_code import PairingCode

from .clients import LOCAL, Clients
from .lifetime import Keys, Listening, listening, serving
from .pairing import Offers
from .settings import default_data, known_backends

MINUTES = 10.0
MAX_MINUTES = 24 * 60.0
_ADDRESSES = 3  # of this machine's, in a code


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the four commands."""
    pair = _add(commands, "pair", "print a code that lets one client machine connect to the backend of this machine")
    pair.add_argument(
        "--name", type=client_name, metavar="NAME", help="what the client is called here; default: its wish"
    )
    pair.add_argument(
        "--minutes", type=_minutes, default=MINUTES, metavar="N", help="how long it is valid (default: 10)"
    )
    pair.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="HOST",
        help="where clients find this machine: a name or an address; may be given again; default: this machine's own",
    )
    pair.add_argument("--port", type=int, metavar="PORT", help="needed while no backend runs: where it will listen")
    pair.set_defaults(run=run_pair)
    _add(commands, "clients", "list who is paired with the backend of this machine").set_defaults(run=run_clients)
    unpair = _add(commands, "unpair", "let a client in no more; a backend that runs drops it at once")
    unpair.add_argument("name", metavar="NAME", help="see 'wanstage clients'")
    unpair.set_defaults(run=run_unpair)
    connect = commands.add_parser("connect", help="pair with a backend on another machine, by its code")
    connect.add_argument(
        "code", nargs="?", metavar="CODE", help="what 'wanstage pair' printed; default: standard input"
    )
    connect.add_argument("--name", type=client_name, metavar="NAME", help="what the backend is called here")
    connect.add_argument("--as", dest="own", metavar="NAME", help="what we would like to be called there")
    connect.add_argument("--json", action="store_true")
    connect.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help=argparse.SUPPRESS)
    connect.set_defaults(run=run_connect)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the backend's data folder (default: as of serve)")
    parser.add_argument("--json", action="store_true")
    return parser


def client_name(text: str) -> str:
    """An argument that is a name of letters, digits, ``-`` and ``_``."""
    if known.plain(text) != text:
        problem = f"{text!r} is no name: use letters, digits, - and _, at most {known.NAME_CHARS}"
        raise argparse.ArgumentTypeError(problem)
    return text


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= MAX_MINUTES:
        problem = f"{text!r} is no time: give minutes above 0, to {MAX_MINUTES:.0f}"
        raise argparse.ArgumentTypeError(problem)
    return found


# ---- at the backend ---------------------------------------------------------------------------------


def run_pair(told: argparse.Namespace) -> int:
    """Print a code. Raises PairingRefused."""
    data = told.data or default_data()
    where, port = _where(data, told.port)
    hosts = tuple(told.host) or _hosts(where)
    if told.name and (told.name == LOCAL or told.name in Clients(data / "keys").listed()):
        problem = f"{told.name} is paired already: 'wanstage unpair {told.name}' first, or choose another name"
        raise PairingRefused(problem)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = Keys(data)
    pairing_code.write(PairingCode(hosts, port, keys.server.public, "0" * 32, 0))  # refused before a code is open
    secret, ends = Offers(data / "keys").make(told.name or "", told.minutes * 60)
    line = pairing_code.write(PairingCode(hosts, port, keys.server.public, secret, int(ends)))
    if told.json:
        _json(code=line, name=told.name or "", hosts=hosts, port=port, ends=ends, running=where is not None)
        return 0
    sys.stdout.write(_shown(line, told, hosts, port, ends))
    for sentence in _cautions(where, hosts, port):
        sys.stderr.write(f"wanstage: {sentence}\n")
    return 0


def _where(data: Path, port: int | None) -> tuple[Listening | None, int]:
    """Where the backend listens, or None, and the port for the code."""
    where = listening(data)
    if where is not None and not where.keys:
        problem = "this backend runs without keys (--insecure-loopback): start it without that option, then pair"
        raise PairingRefused(problem)
    if where is not None:
        return where, int(where.endpoint.rpartition(":")[2])
    if serving(data):
        problem = "the backend is just starting, or of an older version: wait a second, or start it again"
        raise PairingRefused(problem)
    if port is None:
        problem = (
            "no backend runs with this data folder: start it with 'wanstage serve --bind tcp://0.0.0.0:5555', or say "
            "where it will listen with --port 5555"
        )
        raise PairingRefused(problem)
    return None, port


def _hosts(where: Listening | None) -> tuple[str, ...]:
    """Where clients find this machine: the address that is listened to, or all of this machine's and its name."""
    address = where.endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]") if where else "0.0.0.0"  # noqa: S104
    if address not in {"0.0.0.0", "::"}:  # noqa: S104 - what a bind to every address reads as
        return (address,)
    found = dict.fromkeys([*_towards_the_network(), *_addresses()])
    name = socket.gethostname()
    return (*list(found)[:_ADDRESSES], *([name] if pairing_code.is_host(name) else ()))


def _towards_the_network() -> list[str]:
    """The address that packets to other networks leave from; none is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the block that is kept for documents (RFC 5737)
        except OSError:
            return []
        return [probe.getsockname()[0]]


def _addresses() -> list[str]:
    states = psutil.net_if_stats()
    return [
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and name in states and states[name].isup
        if not each.address.startswith(("127.", "169.254."))
    ]


def _shown(line: str, told: argparse.Namespace, hosts: tuple[str, ...], port: int, ends: float) -> str:
    at = time.strftime("%H:%M", time.localtime(ends))
    who = f"the machine that uses it, as {told.name}," if told.name else "the machine that uses it"
    return (
        f"\n{line}\n\n"
        f"Valid until {at}, for one use. Paste it in Blender, in the Wanstage tab under Connection, Other Machines;\n"
        f"or run 'wanstage connect CODE' there. It lets {who} send jobs to this backend and read what its own\n"
        f"jobs made; nothing else. It is found at {' or '.join(hosts)}, port {port} (TCP).\n"
        "'wanstage clients' lists who is paired, 'wanstage unpair NAME' takes it back.\n"
    )


def _cautions(where: Listening | None, hosts: tuple[str, ...], port: int) -> list[str]:
    if where is None:
        return [f"no backend runs here yet: start it with 'wanstage serve --bind tcp://0.0.0.0:{port}'"]
    if all(host.startswith("127.") or host in {"::1", "localhost"} for host in hosts):
        return [
            "this backend listens to its own machine only, so the code is of use here alone: for others start it with "
            f"'wanstage serve --bind tcp://0.0.0.0:{port}'"
        ]
    return []


def run_clients(told: argparse.Namespace) -> int:
    """List the allow-list."""
    folder = (told.data or default_data()) / "keys"
    listed = Clients(folder).listed()
    if told.json:
        for name, each in listed.items():
            _json(name=name, key=each.key, since=each.since)
        return 0
    for name, each in listed.items():
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.since)) if each.since else "earlier"
        sys.stdout.write(f"{name:24} since {since:18} key {each.key[:8]}...\n")
    if not listed:
        sys.stdout.write(
            "Nobody is paired: only this machine's own user may connect. 'wanstage pair' lets others in.\n"
        )
    return 0


def run_unpair(told: argparse.Namespace) -> int:
    """Take a client off the list. Raises UnknownClient, PairingRefused."""
    data = told.data or default_data()
    if told.name == LOCAL:
        problem = (
            "local is this machine's own user, who has the keys anyway: end the backend to keep it from being used"
        )
        raise PairingRefused(problem)
    Clients(data / "keys").remove(told.name)
    if told.json:
        _json(name=told.name, running=serving(data))
    else:
        now = "; the running backend drops it now" if serving(data) else ""
        sys.stdout.write(f"{told.name} may connect no more{now}\n")
    return 0


# ---- at the client ----------------------------------------------------------------------------------


def run_connect(told: argparse.Namespace) -> int:
    """Pair, remember the backend, and say hello to it. Raises PairingRefused, ConnectionProblem."""
    from .commands import connected

    code = pairing_code.read(told.code or sys.stdin.readline())
    wish = known.plain(told.own or socket.gethostname(), "client")
    found = Pairing(code, wish, "wanstage").wait()
    name = known.save(known_backends(), told.name or known.plain(found.host), found.connection)
    path = known.path(known_backends(), name)
    with connected(connection.read(path), told.timeout) as client:
        welcome = client.welcome
        said = welcome.backend if welcome else ""
    if told.json:
        _json(name=name, file=str(path), own=found.name, endpoint=found.connection.endpoint, backend=said)
        return 0
    sys.stdout.write(
        f"Paired with {name} ({found.connection.endpoint}, {said}), which calls this machine {found.name}.\n"
        f"Use it with --connection {name}, for example 'wanstage jobs --connection {name}'. Its keys are in {path}.\n"
    )
    return 0


def _json(**facts: Any) -> None:  # noqa: ANN401 - JSON values
    sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
