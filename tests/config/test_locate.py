import tomllib

import pytest

from siphon.config.locate import line_of, lines

TEXT = '''# comment [not] = a table
top = 1  # with = sign
"quoted key".inner = """
[not.a.table]
x = 1
"""
[ a . "b.c" ]   # spaces
list = [ # first
  "]", # ] in a comment
  ["nested", {k = 1, 'l' = [2,
     3]}],
]
d.e.f = 'literal \\ # not a comment'
long = \'\'\'
it's ''quoted''\'\'\'
date = 2026-01-31 12:00:00
esc = "\\"[x]\\" \\u0041"

[[groups]]
name = "one"
[[groups.members]]
n = 1
[[groups.members]]
n = 2
[[groups]]
name = "two"
[groups.sub]
key = true
[[groups.members]]
n = 3
'''


def paths(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from paths(below, (*path, key))


def test_every_key_and_element_is_found_and_nothing_else():
    assert set(lines(TEXT)) == set(paths(tomllib.loads(TEXT)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("top",), "top = 1"),
        (("quoted key", "inner"), '"quoted key"'),
        (("a",), "[ a "),
        (("a", "b.c", "list", 0), '"]"'),
        (("a", "b.c", "list", 1), '["nested"'),
        (("a", "b.c", "list", 1, 1, "l", 1), "3]}"),
        (("a", "b.c", "d", "e", "f"), "d.e.f"),
        (("a", "b.c", "date"), "date"),
        (("groups", 0, "members", 1, "n"), "n = 2"),
        (("groups", 1, "name"), 'name = "two"'),
        (("groups", 1, "sub", "key"), "key = true"),
        (("groups", 1, "members", 0, "n"), "n = 3"),
    ],
)
def test_keys_are_found_on_their_lines(path, text):
    assert text in TEXT.splitlines()[lines(TEXT)[path] - 1]


def test_what_is_missing_is_placed_at_the_table_around_it():
    found = lines("\n[a]\nb = 1\n")
    assert line_of(found, ("a", "c", "d")) == 2
    assert line_of(found, ("x",)) is None


@pytest.mark.parametrize(
    "text", ["[a", "a = [1", "= 3", "a = {b = ", 'a = "x', "a." * 3, "[" * 100000, "a = " + "[" * 5000, "\x00"]
)
def test_a_text_that_cannot_be_followed_gives_what_was_found(text):
    assert lines("first = 1\n" + text)[("first",)] == 1
