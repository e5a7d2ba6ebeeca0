"""docs/configuration.md says what the settings and the commands say."""

import re
import runpy
from pathlib import Path

import click

from siphon.cli.exits import Exit
from siphon.cli.siphonctl import command as siphonctl
from siphon.cli.siphond import command as siphond
from siphon.config.registry import settings

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "configuration.py"))
TEXT = TOOL["PAGE"].read_text()


def test_the_tables_of_settings_are_current():
    assert TOOL["page"](TEXT) == TEXT, "run: .venv/bin/python tools/configuration.py"


def test_every_setting_is_on_the_page():
    """Whole, or as a section in one cell and the rest of the key in the next."""
    keys = [setting.key.replace("*", "NAME") for setting in settings()]
    for key in keys:
        if any(other.startswith((f"{key}.", f"{key}[].")) for other in keys):
            continue
        if key.startswith(tuple(f"listen.{name}[]" for name in TOOL["UNSERVED"])) or key in TOOL["WRITTEN_SHORT"]:
            continue
        cuts = [place for place, character in enumerate(key) if character == "."]
        parts = [(key[:at].removesuffix("[]"), key[at + 1 :]) for at in cuts]
        assert f"`{key}`" in TEXT or any(f"`{a}`" in TEXT and f"`{b}`" in TEXT for a, b in parts), key


def test_options_commands_and_exit_statuses_are_those_of_the_programs():
    parameters = [parameter for program in (siphond, *siphonctl.commands.values()) for parameter in program.params]
    for option in [parameter for parameter in parameters if isinstance(parameter, click.Option)]:
        assert any(name in TEXT for name in option.opts), option.opts
    for name in siphonctl.commands:
        assert f"siphonctl -c FILE {name}" in TEXT
    ends = {int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.M)}
    assert ends == {int(status) for status in Exit}
