"""The guard's web page: what waits for whom, the whole of a request, and the buttons under it."""

from blackstart.guard.web.app import page_app
from blackstart.guard.web.house import House

__all__ = ["House", "page_app"]
