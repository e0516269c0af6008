"""The pointer log: what deploy got what tree, on record before the pointer is acknowledged."""

from blackstart.store.pointers.record import PointerRecord

__all__ = ["PointerRecord"]
