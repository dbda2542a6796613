"""The mutants of a rule file: one rule, match or chain deleted, weakened or widened (pure).

A mutant is a set of edited lines. Its id names the role, the chain, the rule's place in it and what
was done, so that it stays the same while other rules come and go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from leaktests.mutants.rulefile import Chain, Match, Rule, RuleFile

Edits = Mapping[int, str | None]
"""New text by line number; None deletes the line."""
_PRIORITIES = {"-450": "-399", "raw": "-150", "srcnat + 10": "srcnat - 10"}
"""Where a chain must not stand: after reassembly (-400), after conntrack (-200), before NAT."""
_NARROWER = {"/16": "/32", "/48": "/128"}
_MASKS = {"frag-off & 0x3fff": "frag-off & 0x1fff", "(fin | syn | rst | ack)": "syn"}


@dataclass(frozen=True)
class Mutant:
    """One edit of one role's file. `opens` names the rule (`chain.index`) or `chain.policy` that
    it changes: that is not what holds in its stead."""

    id: str
    role: str
    opens: str
    edits: Edits = field(compare=False)

    def apply(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        return apply(lines, self.edits)


def apply(lines: tuple[str, ...], *every: Edits) -> tuple[str, ...]:
    """The lines after all edits; where two edit the same line, the last one counts. (A deleted line
    stays as an empty one: numbers must not move.)"""
    result = list(lines)
    for edits in every:
        for number, text in edits.items():
            result[number] = text or ""
    return tuple(result)


def diff(lines: tuple[str, ...], edits: Edits) -> list[str]:
    """The edit as lines with - and +."""
    found = []
    for number, text in sorted(edits.items()):
        found.append(f"- {lines[number].strip()}")
        found += [f"+ {text.strip()}"] if text else []
    return found


def mutants(file: RuleFile) -> list[Mutant]:
    """Every mutant of the file, in its order; those that change nothing are left out."""
    found: dict[str, Mutant] = {}
    rules = [rule for chain in file.chains for rule in chain.rules]
    groups = sorted({group for r in rules for key, _ in r.entries for group in key.split(" . ")})
    for chain in file.chains:
        for where, what, edits in _of_chain(chain, groups):
            changed = {n: text for n, text in edits.items() if file.lines[n] != text}
            name = f"{file.role}:{where}:{what}"
            if changed and name not in found:
                found[name] = Mutant(name, file.role, where, changed)
    return list(found.values())


_Found = Iterator[tuple[str, str, Edits]]


def _of_chain(chain: Chain, groups: Sequence[str]) -> _Found:
    base = chain.base
    if base is not None and base.kind == "filter":
        where = f"{chain.name}.policy"
        yield where, "accept", {base.line: base.text.replace("policy drop", "policy accept")}
        if base.priority in _PRIORITIES:
            other = f"priority {_PRIORITIES[base.priority]};"
            moved = base.text.replace(f"priority {base.priority};", other)
            yield f"{chain.name}.priority", "moved", {base.line: moved}
    if base is not None:
        yield f"{chain.name}.chain", "deleted", dict.fromkeys(range(chain.start, chain.end + 1))
    else:
        lines: dict[int, str | None] = {rule.line: None for rule in chain.rules}
        lines[chain.rules[0].line] = "\t\tcounter accept"
        yield f"{chain.name}.chain", "accepts", lines
    for rule in chain.rules:
        for what, text in (*_of_rule(rule), *_maps(rule, groups)):
            yield rule.place, what, {rule.line: text}


def opened(rule: Rule) -> str:
    """The rule's line when it lets pass what it stopped."""
    return re.sub(
        r"\b(drop|reject(?: with \w+ type [\w-]+)?)(?=$|\s*comment )", "accept", rule.text
    )


def _of_rule(rule: Rule) -> Iterator[tuple[str, str | None]]:
    yield "deleted", None
    for match in rule.matches:
        yield f"without-{match.name}", _without(rule, match)
        yield from _weaker(rule, match)
    if rule.verdict in ("drop", "reject"):
        yield "accepts", opened(rule)
        if not any(_has_family(match) for match in rule.matches):
            yield "ipv4-only", _prefixed(rule, "meta nfproto ipv4")


def _without(rule: Rule, match: Match) -> str:
    return rule.text[: match.start] + rule.text[match.end :].lstrip(" ")


def _weaker(rule: Rule, match: Match) -> Iterator[tuple[str, str | None]]:
    text = rule.text
    for old, new in _NARROWER.items():
        if match.right.endswith(old) and rule.verdict == "drop":
            narrowed = match.right.removesuffix(old) + new
            yield f"narrower-{match.name}", _put(text, match, match.right, narrowed)
    for old, new in _MASKS.items():
        if old in match.left:
            yield f"mask-of-{match.name}", _put(text, match, old, new)


def _put(text: str, match: Match, old: str, new: str) -> str:
    inside = text[match.start : match.end].replace(old, new)
    return text[: match.start] + inside + text[match.end :]


def _has_family(match: Match) -> bool:
    families = ("ip ", "ip6 ", "icmp ", "icmpv6 ", "rt ip")
    return match.left.startswith(families) or "nfproto" in match.left


def _prefixed(rule: Rule, match: str) -> str:
    indent = rule.text[: len(rule.text) - len(rule.text.lstrip())]
    return f"{indent}{match} {rule.text.lstrip()}"


def _maps(rule: Rule, groups: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Of a verdict map: an entry less, an entry that accepts, an entry more (of the groups that the
    role's qube has interfaces in, and of 0, the group of any other)."""
    entries = rule.entries
    for key, _ in entries:
        slug = key.replace(" . ", "-")
        yield f"entry-{slug}-deleted", rule.with_entries(tuple(e for e in entries if e[0] != key))
        accepts = tuple((k, "accept" if k == key else v) for k, v in entries)
        yield f"entry-{slug}-accepts", rule.with_entries(accepts)
    if entries:
        pair = " . " in entries[0][0]
        every = [f"{a} . {b}" for a in groups for b in groups] if pair else ["0", *groups]
        for key in every:
            if key not in dict(entries):
                slug = key.replace(" . ", "-")
                yield f"entry-{slug}-added", rule.with_entries((*entries, (key, "accept")))
