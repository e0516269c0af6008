"""Incidents: scripted failures and responses; the catalogue names each once."""

from blackstart.drills.incidents.feb2 import FEB2
from blackstart.drills.incidents.incident import Incident, Step
from blackstart.errors import UsageError

CATALOGUE: dict[str, Incident] = {FEB2.name: FEB2}


def find_incident(name: str) -> Incident:
    """Raises: UsageError for a name nobody knows."""
    incident = CATALOGUE.get(name)
    if incident is None:
        raise UsageError(f"unknown incident {name!r}", hint="`blackstart incidents` lists them")
    return incident


__all__ = ["CATALOGUE", "Incident", "Step", "find_incident"]
