"""How many files may be open at once."""

import resource

from undertow.errors import InputError

__all__ = ["allow_open_files"]


def allow_open_files(count: int) -> None:
    """See to it that this process may have `count` files and sockets open.

    The soft limit, often 1,024, is raised as far as needed; InputError where the hard limit is below.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise InputError(
            f"{count:,} files must be open at once, and this process may open {hard:,}; raise the limit "
            "(ulimit -n, LimitNOFILE= of a service), or collect fewer symbols"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
