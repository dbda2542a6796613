"""What the keeper is asked for, as lines for a shell (pure): `up -v` prints each before it is done.

`PRELUDE` defines the two words that the lines use, so that they can be pasted: `node NAME` is the
process that holds a node's namespaces, `inside NAME CMD` runs a command in its network. What goes
to a program's standard input may be a secret, and is never shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

PRELUDE = r"""node() { pgrep -ofx "\[netchain\] $1 infinity"; }
inside() { nsenter -t "$(node "$1")" -U --preserve-credentials -n "${@:2}"; }"""
_Arguments = Mapping[str, Any]
_QUEUES = "numtxqueues 1 numrxqueues 1"


def lines(do: str, arguments: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    """The operation's effects in order; nothing for one that only reads.

    `full` shows rule texts, too.
    """
    if do in ("create", "rules"):
        yield from (_create if do == "create" else _rules)(arguments, full=full)
    elif do in _LINES:
        yield from _LINES[do](arguments)


def _create(arguments: _Arguments, *, full: bool) -> Iterator[str]:
    node, settings = arguments["node"], arguments["spec"].get("sysctls", {})
    yield f"# create {node}: network, mount, PID, UTS and IPC namespaces"
    if settings:
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        yield _inside(node, f"sysctl -qw {words}")
    if arguments.get("rules"):
        yield from _rules({"node": node, "text": arguments["rules"]}, full=full)


def _rules(arguments: _Arguments, *, full: bool) -> Iterator[str]:
    text = arguments["text"]
    if text.startswith("list "):
        return
    count = text.count("\n")
    if full or count <= 1:
        yield _inside(arguments["node"], f"nft -f - <<'EOF'\n{text.rstrip()}\nEOF")
    else:
        yield _inside(arguments["node"], f"nft -f - # {count} lines, shown by -vv")


def _wire(arguments: _Arguments) -> Iterator[str]:
    if names := arguments.get("names"):
        yield f"# {names['node']}: resolv.conf {names['resolv']}, hosts {names['hosts']}"
    one, other = arguments["ends"]
    yield _inside(
        one["node"],
        f"ip link add {one['name']} address {one['mac']} {_QUEUES} type veth peer"
        f' {other["name"]} address {other["mac"]} {_QUEUES} netns "$(node {other["node"]})"',
    )
    for node, changes in arguments["changes"]:
        yield from (_inside(node, f"ip {ip_line(change)}") for change in changes)


def _configure(arguments: _Arguments) -> Iterator[str]:
    for change in arguments["changes"]:
        yield _inside(arguments["node"], f"ip {ip_line(change)}")


def _tunnel(arguments: _Arguments) -> Iterator[str]:
    node = arguments["node"]
    yield _inside(node, f"ip link add {arguments['name']} type wireguard # else a TUN")
    yield from _configure(arguments)


def _start(arguments: _Arguments) -> Iterator[str]:
    node, service = arguments["node"], arguments["service"]
    yield f"# supervised, in all of {node}'s namespaces: {shlex.join(service['argv'])}"
    for command in service["setup"]:
        yield _program(node, command["argv"], len(command["stdin"]) // 2)


def _cut_over(arguments: _Arguments) -> Iterator[str]:
    for node, changes in arguments["changes"]:
        yield from _configure({"node": node, "changes": changes})


def _forget(arguments: _Arguments) -> Iterator[str]:
    for words in [f"-D -s {address}" for address in arguments["addresses"]] or ["-F"]:
        yield _inside(arguments["node"], f"conntrack {words}")


_LINES: Mapping[str, Callable[[_Arguments], Iterator[str]]] = {
    "wire": _wire,
    "configure": _configure,
    "tunnel": _tunnel,
    "start": _start,
    "cut_over": _cut_over,
    "forget": _forget,
    "remove": lambda a: iter([f'kill -9 "$(node {a["node"]})"']),
    "end": lambda a: iter(
        [_inside(node, "ip link set dev eth0 down") for node in a["nodes"]]
        + [f'kill -9 "$(node {node})"' for node in a["nodes"]]
    ),
    "unwire": lambda a: iter([_inside(a["node"], f"ip link del {a['name']}")]),
    "remove_tunnel": lambda a: iter([_inside(a["node"], f"ip link del {a['name']}")]),
    "stop_service": lambda a: iter([f"# stop {a['name']} in {a['node']}"]),
    "execute": lambda a: iter([_program(a["node"], a["argv"], a["stdin"])]),
}


def _program(node: str, argv: Sequence[str], stdin: int) -> str:
    hidden = f" # standard input: {stdin} bytes, not shown" if stdin else ""
    return _inside(node, shlex.join(argv)) + hidden


def _inside(node: str, words: str) -> str:
    return f"inside {node} {words}"


def ip_line(change: Mapping[str, Any]) -> str:
    """One change of links, addresses or routes as words for ip(8)."""
    dev = f" dev {change['dev']}" if "dev" in change else ""
    match change["do"]:
        case "link":
            words = "".join(f" {key} {change[key]}" for key in ("group", "mtu") if key in change)
            alias = f' alias "{change["alias"]}"' if "alias" in change else ""
            return f"link set{dev}{words}{alias} up"
        case "addr":
            return (
                f"addr add {change['address']}{dev}{' nodad' if ':' in change['address'] else ''}"
            )
        case "neigh":
            return f"neigh replace {change['address']} lladdr {change['mac']}{dev} nud permanent"
    kind = f" {change['kind']}" if "kind" in change else ""
    via = f" via {change['via']}" if "via" in change else ""
    onlink = " onlink" if via else ""
    more = "".join(f" {key} {change[key]}" for key in ("src", "metric") if key in change)
    verb = "del" if change["do"] == "unroute" else "replace"
    return f"route {verb}{kind} {change['to']} proto static{via}{dev}{onlink}{more}"
