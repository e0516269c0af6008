"""Routing: a site's own redirects and header fields, in the syntax of Netlify's files."""

from blackstart.routing.rules import CONFIG_FILES, MAX_FILE_BYTES, Rules, parse_rules

__all__ = ["CONFIG_FILES", "MAX_FILE_BYTES", "Rules", "parse_rules"]
