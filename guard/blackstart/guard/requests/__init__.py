"""Held writes as durable requests: filed, decided about, run once, and accounted for."""

from blackstart.guard.requests.book import Book, Terms, check_author, check_owner, check_reviewer
from blackstart.guard.requests.folder import RequestFolder
from blackstart.guard.requests.model import Asked, Decision, Request, State, Step
from blackstart.guard.requests.outcome import Outcome, outcome_of
from blackstart.guard.requests.runner import Run, Runner, Save, Saved, Trail

__all__ = [
    "Asked",
    "Book",
    "Decision",
    "Outcome",
    "Request",
    "RequestFolder",
    "Run",
    "Runner",
    "Save",
    "Saved",
    "State",
    "Step",
    "Terms",
    "Trail",
    "check_author",
    "check_owner",
    "check_reviewer",
    "outcome_of",
]
