"""What a held write would do, worked out by reads only, for whoever decides about it."""

from blackstart.guard.preview.model import Part, Preview, Sample
from blackstart.guard.preview.outgrown import outgrown
from blackstart.guard.preview.previewer import Previewer

__all__ = ["Part", "Preview", "Previewer", "Sample", "outgrown"]
