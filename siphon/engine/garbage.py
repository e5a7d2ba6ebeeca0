"""The garbage collector around a load of the script.

What a process has loaded is frozen: collections while it serves do not look at it. A script is full of cycles, though
(its functions refer to their module's names, which refer to the functions), and a frozen cycle is never found: each
reload would keep the version that it has replaced. So what is frozen is thawed, collected and frozen again. It takes
about 30 ms, in which the worker's siblings serve.
"""

import gc


def settle() -> None:
    """Free what nothing refers to any more, and let later collections pass over what is left."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
