"""netchain verify: prove from the live rules that nothing can bypass a chain."""

from __future__ import annotations

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit
from netchain.proofs import Proof, verify
from netchain.verify.proof import Finding, Verdict

_EXITS = {
    Verdict.PROVED: Exit.DONE, Verdict.BROKEN: Exit.COUNTER_EXAMPLE,
    Verdict.UNPROVED: Exit.INCONCLUSIVE,
}  # fmt: skip
_SIGNS = {Verdict.PROVED: "✓", Verdict.BROKEN: "✗", Verdict.UNPROVED: "?"}


@click.command("verify")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.output_options
def command(chain: str, as_json: bool, quiet: bool) -> int:
    """Prove from the live rules of CHAIN that no packet can bypass it.

    Exit 11 with a packet that can, 12 when something could not be proved.
    """
    console = Console(as_json=as_json, quiet=quiet)
    with common.site(common.find(chain), console) as (resolved, site):
        proof = verify(resolved, site.backend)
    console.result(_text(resolved.name, proof), {"chain": resolved.name, **proof.data})
    return _EXITS[proof.verdict]


def _text(chain: str, proof: Proof) -> str:
    lines = []
    for qube in dict.fromkeys(finding.qube for finding in proof.findings):
        own = [finding for finding in proof.findings if finding.qube == qube]
        words = (f"{_SIGNS[finding.verdict]} {finding.name}" for finding in own)
        lines.append(f"▌{qube:<14.14} {'  '.join(words)}")
        for finding in own:
            lines += _why(finding)
    lines += [f"  assumed: {words}" for words in proof.assumptions]
    lines.append(f"chain {chain}: {proof.verdict} ({proof.seconds:.2f} s)")
    return "\n".join(lines)


def _why(finding: Finding) -> list[str]:
    if finding.verdict is Verdict.PROVED:
        return []
    head = f"    {finding.name}{f' on {finding.link}' if finding.link else ''}: "
    if finding.witness is None:
        return [head + finding.why]
    lines = [f"{head}this packet gets through", f"      {finding.witness.left}"]
    if str(finding.witness.came) != str(finding.witness.left):
        lines.append(f"      it came as {finding.witness.came}")
    lines.append(f"      let through by {finding.rule}")
    return lines + [f"      assumes {words}" for words in finding.witness.assumed]
