"""Drills: an incident day replayed under a virtual clock, and judged by an oracle."""
