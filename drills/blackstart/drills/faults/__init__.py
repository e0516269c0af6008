"""Faults: one small object each, which breaks one thing and says whether it took effect."""
