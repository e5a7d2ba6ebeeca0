"""Configuration: what the file may say, and how it is read. `load` gives `Settings` or raises `ConfigurationError`."""
