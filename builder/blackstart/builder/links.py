"""Where a symbolic link leads, judged before anything is opened."""

from __future__ import annotations

from collections.abc import Callable

MAX_LINKS = 40
"""As many as Linux follows in one path (path_resolution(7))."""


class LinkError(Exception):
    """The link may not be followed; the text says why, as the end of a sentence."""


def follow(path: str, read_link: Callable[[str], str | None]) -> str:
    """The path that is reached from `path` when every link on the way is followed.

    All paths are relative to the top of one folder, with `/` between. `read_link`
    gives a link's target, or None for what is no link. Each step has to stay
    below the top: a link that goes out and comes back is refused too.
    Raises: LinkError.
    """
    done: list[str] = []
    ahead = path.split("/")[::-1]
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            if not done:
                raise LinkError("leads out of the site")
            done.pop()
        elif part not in ("", "."):
            done.append(part)
            target = read_link("/".join(done))
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise LinkError("leads in a circle")
                if target.startswith("/"):
                    raise LinkError("leads out of the site")
                done.pop()
                ahead += target.split("/")[::-1]
    return "/".join(done)
