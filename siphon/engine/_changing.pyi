class Changing:
    """Base of Environment: counts, for callers in C, how often one of its fields got another value."""
