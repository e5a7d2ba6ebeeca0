"""Where the URI of an address stands: the expressions that find it against the loop that says what is meant."""

from hypothesis import given
from hypothesis import strategies as st

from siphon.script.address import uri_span


def by_character(value: str) -> tuple[int, int, bool]:
    quoted = False
    i = 0
    while i < len(value):
        c = value[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif c == "<" and not quoted:
            end = value.find(">", i)
            return i + 1, len(value) if end < 0 else end, True
        elif c in ";," and not quoted:
            break
        i += 1
    start = len(value) - len(value.lstrip())
    return start, start + len(value[start:i].rstrip()), False


@given(st.text('a:"\\<>;, \n', max_size=16))
def test_the_uri_of_any_text_is_where_a_reader_of_characters_finds_it(value: str) -> None:
    assert uri_span(value) == by_character(value)


def test_unclosed_quotes_take_no_time_that_grows_with_their_square() -> None:
    text = '"' + '\\"' * 30000
    assert uri_span(text) == (0, len(text), False)
