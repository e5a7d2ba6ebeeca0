"""Records, the Store protocol and its backends."""
