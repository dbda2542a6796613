"""A role's rule file as chains, rules and matches (pure).

Only as much of nft's grammar as our files use: a rule is one line. What a rule holds that is not
understood stays a part of its text, so that it can still be deleted as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHAIN = re.compile(r"\s*chain (\w+) \{")
_HOOK = re.compile(r"type (?P<kind>\w+) hook (?P<hook>\w+) priority (?P<priority>[^;]+);")
_POLICY = re.compile(r"policy (\w+);")
_COMMENT = re.compile(r'\s*comment "([^"]*)"\s*$')
_SELECTOR = (
    r"(?:[io]if(?:name|group)"
    r"|ip6? (?:saddr|daddr|protocol|hdrlength|nexthdr|hoplimit|frag-off(?: & \w+)?)"
    r"|icmp(?:v6)? (?:type|code)"
    r"|tcp (?:dport|sport|flags(?: & \([^)]*\)| & \w+)?)"
    r"|udp (?:dport|sport|length)|th (?:dport|sport)"
    r"|rt ip6? nexthop|meta (?:l4proto|nfproto|mark|skuid)|ct (?:state|direction|status))"
)
_VALUE = r"(?:\{[^}]*\}|@\w+|\"[^\"]*\"|[\w:./,-]+)"
_MATCH = re.compile(
    rf"(?P<left>{_SELECTOR}(?: \. {_SELECTOR})*) (?:(?P<op>!=|==|>=) )?(?P<right>{_VALUE})"
)
_VMAP = re.compile(rf"(?P<key>{_SELECTOR}(?: \. {_SELECTOR})*) vmap \{{(?P<entries>[^}}]*)\}}")
_VERDICT = re.compile(r"\b(accept|drop|reject(?: with [\w-]+(?: type)? [\w-]+)?)$")


@dataclass(frozen=True)
class Match:
    """One condition of a rule, and where it stands in the rule's line."""

    left: str
    op: str
    right: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """What it asks for, as a part of an identifier."""
        return re.sub(r"[^a-z0-9]+", "-", self.left.partition("&")[0].lower()).strip("-")


@dataclass(frozen=True)
class Rule:
    """One rule; `line` counts from 0, `index` in its chain from 1. `verdict` is accept, drop,
    reject or "" (a statement, a verdict map)."""

    chain: str
    index: int
    line: int
    text: str
    matches: tuple[Match, ...]
    verdict: str
    comment: str

    @property
    def place(self) -> str:
        return f"{self.chain}.{self.index}"

    @property
    def entries(self) -> tuple[tuple[str, str], ...]:
        """The verdict map's keys and verdicts."""
        found = _VMAP.search(self.text)
        if found is None:
            return ()
        pairs = (entry.partition(" : ") for entry in found["entries"].split(","))
        return tuple((key.strip(), verdict.strip()) for key, _, verdict in pairs)

    def with_entries(self, entries: tuple[tuple[str, str], ...]) -> str:
        """The line with another verdict map."""
        inside = ", ".join(f"{key} : {verdict}" for key, verdict in entries)
        return _VMAP.sub(lambda m: f"{m['key']} vmap {{ {inside} }}", self.text)


@dataclass(frozen=True)
class Base:
    """The line that hangs a chain into a hook."""

    line: int
    text: str
    kind: str
    hook: str
    priority: str
    policy: str


@dataclass(frozen=True)
class Chain:
    name: str
    base: Base | None
    rules: tuple[Rule, ...]
    start: int
    end: int


@dataclass(frozen=True)
class RuleFile:
    """One role's file."""

    role: str
    lines: tuple[str, ...]
    chains: tuple[Chain, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def chain(self, name: str) -> Chain | None:
        return next((chain for chain in self.chains if chain.name == name), None)

    def rule_with(self, chain: str, comment: str) -> Rule | None:
        """The rule of that chain with that comment, which a listing of the kernel's also has."""
        rules = (rule for c in self.chains if c.name == chain for rule in c.rules)
        return next((rule for rule in rules if rule.comment == comment), None)


def parse(role: str, text: str) -> RuleFile:
    """The file's chains. ValueError when a chain is not closed or there is none."""
    lines = tuple(text.rstrip("\n").split("\n"))
    chains = []
    at = 0
    while at < len(lines):
        found = _CHAIN.match(lines[at])
        if found:
            end = next((n for n in range(at, len(lines)) if lines[n].strip() == "}"), None)
            if end is None:
                raise ValueError(f"{role}: chain {found[1]} is not closed")
            chains.append(_chain(found[1], lines, at, end))
            at = end
        at += 1
    if not chains:
        raise ValueError(f"{role}: no chain in the file")
    return RuleFile(role, lines, tuple(chains))


def _chain(name: str, lines: tuple[str, ...], start: int, end: int) -> Chain:
    base: Base | None = None
    rules: list[Rule] = []
    for number in range(start + 1, end):
        text = lines[number].strip()
        hook = _HOOK.search(text)
        if hook:
            policy = _POLICY.search(text)
            base = Base(
                number, lines[number], hook["kind"], hook["hook"], hook["priority"].strip(),
                policy[1] if policy else "",
            )  # fmt: skip
        elif text and not text.startswith("#"):
            rules.append(_rule(name, len(rules) + 1, number, lines[number]))
    return Chain(name, base, tuple(rules), start, end)


def _rule(chain: str, index: int, number: int, line: str) -> Rule:
    comment = _COMMENT.search(line)
    body = line[: comment.start()] if comment else line.rstrip()
    verdict = _VERDICT.search(body)
    return Rule(
        chain, index, number, line, _matches(body), verdict[1].split()[0] if verdict else "",
        comment[1] if comment else "",
    )  # fmt: skip


def _matches(body: str) -> tuple[Match, ...]:
    """The conditions at the start of the rule, up to the first word that is none."""
    found = []
    at = len(body) - len(body.lstrip())
    while match := _MATCH.match(body, at):
        if match["right"] == "vmap" or " set " in f"{match[0]} ":
            break
        left = match["left"]
        found.append(Match(left, match["op"] or "", match["right"], match.start(), match.end()))
        at = match.end()
        while body[at : at + 1] == " ":
            at += 1
    return tuple(found)
