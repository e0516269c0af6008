"""What a deploy shows: its files, and the rules that its own configuration files give."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import structlog

from blackstart.errors import ObjectNotFoundError, StorageError
from blackstart.model import Tree
from blackstart.origin.metrics import OriginMetrics
from blackstart.routing import CONFIG_FILES, MAX_FILE_BYTES, Rules, parse_rules
from blackstart.store import ObjectStore

TREES_KEPT = 2_048

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Published:
    """The files that visitors may have, without CONFIG_FILES; `rules` is None without any.

    `whole` is false when rules exist and could not be read.
    """

    tree: Tree
    rules: Rules | None = None
    whole: bool = True


class PublishedTrees:
    """Reads trees with their rules, and keeps those that were read in full."""

    def __init__(self, objects: ObjectStore, metrics: OriginMetrics) -> None:
        self._objects = objects
        self._metrics = metrics
        self._kept: OrderedDict[str, Published] = OrderedDict()

    async def get(self, tree_id: str) -> Published:
        """Raises: ObjectNotFoundError, DigestMismatchError, StorageError for the tree alone."""
        published = self._kept.get(tree_id)
        if published is not None:
            self._kept.move_to_end(tree_id)
            return published
        published = await self._read(tree_id)
        if published.whole:
            self._kept[tree_id] = published
            if len(self._kept) > TREES_KEPT:
                self._kept.popitem(last=False)
        return published

    async def _read(self, tree_id: str) -> Published:
        tree = await self._objects.get_tree(tree_id)
        names = [name for name in CONFIG_FILES if name in tree.files]
        if not names:
            return Published(tree)
        shown = Tree({path: tree.files[path] for path in tree.files if path not in CONFIG_FILES})
        try:
            return Published(shown, await self._rules(tree, names))
        except (ObjectNotFoundError, StorageError) as error:
            # The files are served without them: better a page too plain than no page.
            self._metrics.count_unread_rules()
            log.warning("rules cannot be read", tree=tree_id, error=str(error))
            return Published(shown, whole=False)

    async def _rules(self, tree: Tree, names: list[str]) -> Rules | None:
        """None when the files hold no rule, such as a netlify.toml that is for builds only."""
        small = [name for name in names if tree.files[name].size <= MAX_FILE_BYTES]
        data = {name: await self._objects.get_blob(tree.files[name].sha1) for name in small}
        rules = parse_rules(data)
        return rules if rules.redirects or rules.headers else None
