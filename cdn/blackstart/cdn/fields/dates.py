"""HTTP dates (RFC 9110 section 5.6.7), read as a cache must (RFC 9111 section 4.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate

from blackstart.cdn.fields.remembered import remembered

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_WEEKDAY = r"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_FORMS = (
    # IMF-fixdate, then the obsolete RFC 850 and asctime forms that recipients must take.
    rf"{_WEEKDAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} gmt",
    rf"{_LONG_WEEKDAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} gmt",
    rf"{_WEEKDAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
)
_PATTERNS = tuple(re.compile(form, re.IGNORECASE | re.ASCII) for form in _FORMS)
_PIVOT_YEAR = 2025


@remembered(4096)
def parse_date(text: str) -> float | None:
    """Unix seconds; None when it is no HTTP date.

    Case is ignored, a zone other than GMT is not taken, not even UTC (RFC 9111
    section 4.2). A year of two digits lies in the 50 years after `_PIVOT_YEAR`
    or before (RFC 9110 section 5.6.7).
    """
    for pattern in _PATTERNS:
        found = pattern.fullmatch(text.strip())
        if found is not None:
            return _seconds(found)
    return None


def format_date(seconds: float) -> str:
    """The IMF-fixdate form."""
    return formatdate(seconds, usegmt=True)


def _seconds(found: re.Match[str]) -> float | None:
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year <= _PIVOT_YEAR % 100 + 50 else 1900
    month = _MONTHS.index(found["month"].lower()) + 1
    # A leap second counts as the one before it.
    second = min(int(found["second"]), 59) if int(found["second"]) <= 60 else 61
    try:
        moment = datetime(
            year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), second,
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    return moment.timestamp()
