"""The command line: a table of verbs, each a module of netchain/commands loaded when it is used.

Nothing heavy is imported for `--help`: pyroute2, scapy, rich and stem each cost more than the rest
together (scripts/bench help).
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
from types import FrameType
from typing import Any

import click

from netchain import __version__
from netchain.console import Console
from netchain.errors import STAYS_CLOSED, Exit, NetchainError, Problem, from_os

VERBS = {
    "demo": "Prove it here, offline: private internet, chain, page, who sees what",
    "up": "Bring a chain up: plan, check, apply, prove, open",
    "down": "Remove a chain",
    "status": "What a chain is doing now",
    "netvm": "Show or switch a qube's NetVM, while it runs",
    "watch": "A chain, again whenever it changes; --block closes it when it opens",
    "plan": "What `up` would change",
    "verify": "Prove from the live rules that nothing can bypass a chain",
    "leaktest": "Test with packets that nothing bypasses a chain",
    "report": "What an earlier leaktest found",
    "exec": "Run a command in a qube: netchain exec CHAIN[:QUBE] -- CMD",
    "shell": "A shell in a qube",
    "disp": "Run a command in a fresh qube that vanishes with it",
    "ls": "Chains and profiles",
    "enable": "Bring a chain up at boot: a systemd unit",
    "disable": "Take that unit away again",
    "doctor": "What is missing on this computer, and how to fix it",
    "lab": "The private internet: up, down, status",
}


class _Verbs(click.Group):
    """Loads a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"netchain.commands.{cmd_name}_")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. click would end a broken pipe silently and with 1, whosever pipe it is."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if _output_is_closed():
                _drop_output()
                sys.exit(141)
            raise from_os(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__)
def cli() -> None:
    """Build, switch and prove the network-qube chain that reaches Tor through a VPN.

    Exit codes: 0 done, clean · 1 failed, left closed · 2 usage · 3 not up, not ready in time · 4
    refused as unsafe · 5 something is missing · 10 leak · 11 a packet that could leak · 12
    inconclusive · 20 drift.
    """


def main() -> None:
    """The program: every error in one shape, every signal with its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except NetchainError as error:
        sys.exit(_tell(error))
    except click.UsageError as error:
        hint = error.ctx.get_usage() if error.ctx else "netchain --help"
        problem = Problem("E001", error.format_message(), help=hint)
        Console().error(NetchainError(problem, Exit.USAGE))
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        print(f"Stopped. {STAYS_CLOSED}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        _drop_output()
        sys.exit(141)
    except OSError as error:
        _drop_output()
        sys.exit(_tell(from_os(error)))


def _tell(error: NetchainError) -> int:
    Console(as_json="--json" in sys.argv).error(error)
    return error.exit_code


def _output_is_closed() -> bool:
    """Whether nobody reads our standard output or error any more (`netchain ls | head -1`)."""
    poll = select.poll()
    for fd in (1, 2):
        poll.register(fd, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop_output() -> None:
    """Throw away what standard output does not take, or Python complains of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(128 + signum)
