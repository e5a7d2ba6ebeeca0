import pytest

from siphon.config.expand import Expander
from siphon.config.values import Expanded


def expand(text: str, **environ: str) -> str:
    expander = Expander(environ)
    result = expander.document({"key": [text]})["key"][0]
    assert expander.faults == []
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${SET}", "value"),
        ("a${SET}b${SET}", "avaluebvalue"),
        ("${EMPTY}", ""),
        ("${UNSET}", ""),
        ("${SET:-default}", "value"),
        ("${EMPTY:-default}", "default"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b $ c}", "a:-b $ c"),
        ("$${SET}", "${SET}"),
        ("$$${SET}", "$${SET}"),
        ("$SET and $$ stay", "$SET and $$ stay"),
    ],
)
def test_variables_are_put_into_texts(text, expected):
    assert expand(text, SET="value", EMPTY="") == expected


def test_a_value_is_not_expanded_again():
    assert expand("${A}", A="${B}", B="x") == "${B}"


def test_only_what_was_expanded_is_marked():
    assert isinstance(expand("${A}", A="1"), Expanded)
    assert not isinstance(expand("$${A}"), Expanded)
    assert not isinstance(expand("plain"), Expanded)


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:default}", "${A B}"])
def test_what_is_no_variable_is_a_fault_of_its_key(text):
    expander = Expander({"A": "x"})
    expander.document({"section": {"key": text}})
    assert [path for path, _ in expander.faults] == [("section", "key")]


def test_expanded_texts_become_numbers_and_booleans_where_the_key_wants_them(read):
    text = """
[transaction]
t1 = "${T1}"
auto_emit_100_trying = "${TRYING:-no}"
[shared]
max_bindings = "${MANY:-4096}"
[auth.users]
alice = "${PASSWORD}"
"""
    settings = read(text, {"T1": "0.25", "PASSWORD": "1234"})
    assert settings.transaction.t1 == 0.25
    assert settings.transaction.auto_emit_100_trying is False
    assert settings.shared.max_bindings == 4096
    assert settings.auth.users["alice"].password == "1234"
    assert type(settings.auth.users["alice"].password) is str


def test_a_text_that_is_no_number_is_shown_with_where_it_came_from(faults):
    assert faults('transaction.t1 = "${T1}"\n', {"T1": "fast"}) == [
        '1: transaction.t1: must be a number, not "fast" (from "${T1}")'
    ]
    assert faults('workers.count = "${N}"\n') == ['1: workers.count: must be a whole number, not "" (from "${N}")']
    assert faults('workers.count = "${N}"\n', {"N": "9" * 40})[0].startswith("1: workers.count: must be a whole number")


def test_a_secret_cannot_change_the_file(read):
    settings = read('[auth.users]\nalice = "${PASSWORD}"\n', {"PASSWORD": 'x"\nbob = "y'})
    assert settings.auth.users["alice"].password == 'x"\nbob = "y'
    assert list(settings.auth.users) == ["alice"]
