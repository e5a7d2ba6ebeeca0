COMPACT: dict[str, str]
