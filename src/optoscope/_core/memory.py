"""What fits into this machine's memory."""

import os


def check_memory(num_bytes: float, what: str) -> None:
    """Check that so many bytes fit into this machine's memory.

    Raises:
        ValueError: if they do not; the message says how much it would be.
    """
    try:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return
    if num_bytes > has:
        raise ValueError(
            f"{what} need at least {num_bytes / 1e9:,.1f} GB of memory, this machine has {has / 1e9:,.1f} GB; choose "
            "fewer or smaller ones."
        )
