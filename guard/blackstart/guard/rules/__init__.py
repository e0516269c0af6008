"""What a command is and what becomes of it, judged from its parsed body by a table of rules."""

from blackstart.guard.rules.command import Command
from blackstart.guard.rules.judge import Judge, Verdict
from blackstart.guard.rules.kinds import Action, Decision, Kind, Write
from blackstart.guard.rules.table import CollectionRule, Table

__all__ = [
    "Action",
    "CollectionRule",
    "Command",
    "Decision",
    "Judge",
    "Kind",
    "Table",
    "Verdict",
    "Write",
]
