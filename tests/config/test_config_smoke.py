from siphon.config.testing import settings_for_tests


def test_settings_for_tests_merge_nested_tables():
    settings = settings_for_tests(transaction={"t1": 0.1}, auth={"users": {"carol": "pw"}})
    assert settings.transaction.t1 == 0.1
    assert settings.transaction.t2 == 4.0
    assert set(settings.auth.users) == {"alice", "bob", "carol"}
    assert (settings.listen.udp[0].ip, settings.listen.udp[0].port) == ("127.0.0.1", 5060)
