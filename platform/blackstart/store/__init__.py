"""Where the platform keeps things: MongoDB for documents, an object store for bytes."""

from blackstart.store.embedded import embedded_mongodb
from blackstart.store.metadata import MetadataStore
from blackstart.store.objects import ObjectStore

__all__ = ["MetadataStore", "ObjectStore", "embedded_mongodb"]
