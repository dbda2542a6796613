"""What was found, for people and for programs: `write` is all that a command needs."""

from leaktests.report.writer import of, write

__all__ = ["of", "write"]
