"""Probes as data, how they are sent, heard and judged."""
