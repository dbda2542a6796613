"""What was found, for people and for programs: `write` is all that a command needs."""

from leaktests.report.writer import as_json, as_text, of, write

__all__ = ["as_json", "as_text", "of", "write"]
