"""netchain netvm: show or switch a qube's NetVM, as `qvm-prefs QUBE netvm X` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from netchain import apply, switch, switched
from netchain.commands import common
from netchain.console import Console
from netchain.errors import NOTHING_CHANGED, Exit, NetchainError, Problem
from netchain.model import invariants
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.plan import render
from netchain.model.switch import Switch
from netchain.receipt import Receipt
from netchain.site import Site
from netchain.switched import NONE, Given, Switched


@click.command("netvm")
@click.argument("target", metavar="[CHAIN:]QUBE")
@click.argument("netvm", required=False, metavar="[NETVM|none]")
@click.option("--allow-clearnet", is_flag=True, help="Let a workstation go without Tor; kept.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("--wait", is_flag=True, help="Wait while another command changes the chain.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to become ready.")
@common.verbose_option
@common.output_options
def command(
    target: str, netvm: str | None, allow_clearnet: bool, dry_run: bool, wait: bool,
    timeout: float, verbose: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Show QUBE's NetVM, or switch it: to NETVM, or to none. The qube goes on running."""
    console = Console(as_json=as_json, quiet=quiet)
    found, name = _find(target)
    if netvm is None:
        _show(console, found, name)
        return
    with common.lock(found.profile, timeout if wait else 0):
        kept = switched.load(found.profile.name)
        before = kept.over(found.profile)
        given = _given(netvm)
        wanted = kept.give(found.profile, name, given)
        if allow_clearnet and invariants.problems(wanted.over(found.profile)):
            wanted = kept.give(found.profile, name, replace(given, clearnet=True))
        after = wanted.over(found.profile)
        _check(after, name)
        if after == before:
            words = f"{name} has that netvm already. {NOTHING_CHANGED}"
            console.result(words, _data(found, name, before, "done"))
            return
        running = _Running(found, name, before, after, wanted, console, verbose, timeout)
        try:
            running.switch(dry_run=dry_run)
        except NetchainError as error:
            if error.exit_code is not Exit.NOT_READY or error.problems[0].code != "E050":
                raise
            running.only_remember(dry_run=dry_run)


def _given(netvm: str) -> Given:
    try:
        name = None if netvm == NONE else QubeName.parse(netvm)
    except ValueError as error:
        problem = Problem("E011", "this is not a name", value=repr(netvm), accepted=str(error))
        raise NetchainError(problem, Exit.USAGE) from error
    return Given(name, switched.now())


def _find(target: str) -> tuple[common.Found, QubeName]:
    """The chain as its profile describes it, and the qube: of a bare name the only one there is.

    NetchainError (exit 2) when there is none, or more than one.
    """
    chain, qube = common.split(target)
    if qube is not None:
        found = common.find_profile(chain)
        if qube in {each.name for each in found.profile.qubes}:
            return found, QubeName(qube)
        names = ", ".join(each.name for each in found.profile.qubes)
        problem = Problem("E101", f"chain {found.profile.name} has no such qube",
                          value=repr(qube), accepted=names)  # fmt: skip
        raise NetchainError(problem, Exit.USAGE)
    holding = common.holding(chain)
    if len(holding) > 1:
        holding = [each for each in holding if _is_up(each)] or holding
    if len(holding) == 1:
        return holding[0], QubeName(chain)
    ways = ", ".join(f"{each.profile.name}:{chain}" for each in holding)
    title = "more than one chain has a qube of this name" if holding else "no chain has this qube"
    hint = "netchain ls lists the chains"
    raise NetchainError(Problem("E101", title, value=repr(chain), accepted=ways, help=hint),
                        Exit.USAGE)  # fmt: skip


def _is_up(found: common.Found) -> bool:
    try:
        with common.site(found, Console(quiet=True)) as (chain, site):
            return bool(site.backend.observe(chain).qubes)
    except NetchainError:
        return False


def _check(after: Chain, name: QubeName) -> None:
    """NetchainError where the switch would break the chain, or (exit 4) its promise."""
    qube = after[name]
    found = invariants.problems(after)
    if not found:
        return
    allowed = after.with_netvm(name, qube.netvm, clearnet=True)
    if qube.role is Role.WORKSTATION and not qube.clearnet and not invariants.problems(allowed):
        title = f"below {qube.netvm} this workstation would be without Tor"
        hint = "--allow-clearnet does it all the same; netchain status then says so for ever"
        raise NetchainError(Problem("E103", title, str(name), help=hint), Exit.REFUSED)
    refused = any(problem.code == "E019" for problem in found)
    located = (replace(p, where=f"{name} → {qube.netvm or NONE}", value="") for p in found)
    raise NetchainError(list(dict.fromkeys(located)), Exit.REFUSED if refused else Exit.USAGE)


def _show(console: Console, found: common.Found, name: QubeName) -> None:
    chain = switched.load(found.profile.name).over(found.profile)
    console.result(str(chain[name].netvm or NONE), _data(found, name, chain, "done"))


def _data(found: common.Found, name: QubeName, chain: Chain, verdict: str) -> dict[str, Any]:
    return {
        "chain": found.profile.name, "qube": name, "netvm": chain[name].netvm or NONE,
        "profile": found.profile[name].netvm or NONE, "verdict": verdict,
    }  # fmt: skip


class _Running:
    """One switch of a chain that may be up."""

    def __init__(
        self, found: common.Found, name: QubeName, before: Chain, after: Chain, wanted: Switched,
        console: Console, verbose: int, timeout: float,
    ) -> None:  # fmt: skip
        self._found, self._name = found, name
        self._before, self._after, self._wanted = before, after, wanted
        self._console, self._verbose, self._timeout = console, verbose, timeout

    def switch(self, *, dry_run: bool) -> None:
        """Switch the running chain, or only remember it when nothing of it runs."""
        with self._site(self._before) as (old, site), self._site(self._after) as (new, fitted):
            if not site.backend.observe(old).qubes:
                self.only_remember(dry_run=dry_run)
                return
            meant = Switch(old, new, self._name)
            _require_running(meant, site)
            why = self._not_live(meant, site)
            if dry_run:
                steps = apply.plan(new, fitted) if why else switch.plan(meant, site)
                self._console.result(render(steps) + NOTHING_CHANGED, self._told("done"))
            elif why:
                self._anew(new, fitted, why)
            else:
                done = switch.run(meant, site, self._remember)
                self._console.result(self._text(done), {**self._told("clean"), **_receipt(done)})

    @contextmanager
    def _site(self, chain: Chain) -> Iterator[tuple[Chain, Site]]:
        found = replace(self._found, chain=chain)
        with common.site(found, self._console, self._verbose) as (resolved, site):
            site.timeout = self._timeout
            yield resolved, site

    def _not_live(self, meant: Switch, site: Site) -> str:
        """Why the chain cannot go on meanwhile; "" when it can."""
        qube = meant.new[self._name]
        if meant.old.with_netvm(self._name, qube.netvm, clearnet=qube.clearnet) != meant.new:
            return "a VPN's tunnel must have another size there"
        return f"{meant.old.name} was not whole" if apply.plan(meant.old, site) else ""

    def _anew(self, new: Chain, site: Site, why: str) -> None:
        """All that differs is closed first, then opened with the new netvm."""
        self._remember()
        apply.up(new, site)
        words = f"{why}: the chain was brought up anew, with {self._name} switched"
        self._console.result(f"{words}\nBack: {self._back()}", self._told("done"))

    def only_remember(self, *, dry_run: bool) -> None:
        """Nothing runs: the next `up` makes it so."""
        if not dry_run:
            self._remember()
        words = f"{self._found.profile.name} is not up; its next `up` gives {self._name} this netvm"
        self._console.result(words if not dry_run else NOTHING_CHANGED, self._told("done"))

    def _remember(self) -> None:
        switched.save(self._found.profile.name, self._wanted)

    def _told(self, verdict: str) -> dict[str, Any]:
        return {**_data(self._found, self._name, self._after, verdict), "back": self._back()}

    def _back(self) -> str:
        netvm = self._before[self._name].netvm or NONE
        more = " --allow-clearnet" if self._before[self._name].clearnet else ""
        return f"netchain netvm {self._found.profile.name}:{self._name} {netvm}{more}"

    def _text(self, done: Receipt) -> str:
        width = max(len(each.link) for each in done.links)
        lines = [f"{done.qube}: {done.before or NONE} → {done.after or NONE}"]
        lines.append(
            f"{'packets on':<{width}}  {'before':>7} {'during':>7} {'after':>7} {'wrong':>6}"
        )
        for each in done.links:
            counts = f"{each.before:>7} {each.during:>7} {each.after:>7} {each.wrong:>6}"
            lines.append(f"{each.link:<{width}}  {counts}")
        return "\n".join([*lines, f"✓ {_words(done)}", f"Back: {self._back()}"])


def _require_running(meant: Switch, site: Site) -> None:
    """As Qubes refuses it: a netvm that is not there, or closed, gives no network."""
    netvm = meant.after
    if netvm is None or not meant.new.is_connected(netvm):
        return
    have = site.backend.observe(meant.old).qubes.get(netvm)
    if have is None or have.blocked:
        title = f"Cannot dynamically attach to stopped NetVM: {str(netvm)!r}"
        chain = meant.old.name
        hint = f"netchain up {chain}; when that fails: netchain down {chain}, then switch, then up"
        raise NetchainError(Problem("E104", title, help=hint), Exit.NOT_READY)


def _words(done: Receipt) -> str:
    words = [f"{done.wrong} packets on a wrong wire"]
    if done.cut_ms is not None:
        words.append(f"the cut took {done.cut_ms:.2f} ms")
    if done.gap_ms is not None:
        words.append(f"{done.gap_ms:.1f} ms from its last packet there to its first one here")
    if done.ready_ms is not None:
        words.append(f"ready again {done.ready_ms / 1000:.1f} s after it")
    return "; ".join(words)


def _receipt(done: Receipt) -> dict[str, Any]:
    return {
        "links": [vars(each) for each in done.links], "wrong": done.wrong, "cut_ms": done.cut_ms,
        "gap_ms": done.gap_ms, "ready_ms": done.ready_ms,
    }  # fmt: skip
