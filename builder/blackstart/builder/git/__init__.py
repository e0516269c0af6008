"""git as a source of commits: the files of exactly one commit, as git holds them."""

from blackstart.builder.git.checkout import Checkout, write_checkout
from blackstart.builder.git.local import local_git_dir
from blackstart.builder.git.objects import list_files, read_blobs
from blackstart.builder.git.run import run_git
from blackstart.builder.git.source import Git, Source

__all__ = [
    "Checkout",
    "Git",
    "Source",
    "list_files",
    "local_git_dir",
    "read_blobs",
    "run_git",
    "write_checkout",
]
