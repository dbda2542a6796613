"""Proves from the live rules that no packet can bypass the chain, or finds one that can (pure)."""
