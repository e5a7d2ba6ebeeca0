class Soon:
    """`next_at`: when tick() has something to do here, seconds of CLOCK_BOOTTIME; inf for not before it is changed."""

    next_at: float

class Stirring:
    """`told`: when tick() last said that it wants to be called. `stalled`: this process was away so long that others
    may have served its records (a handler that blocks, SIGSTOP)."""

    told: float
    stalled: bool
