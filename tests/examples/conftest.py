"""The two phones of most examples, at the `server` that a file of tests names."""

import pytest


@pytest.fixture
def alice(server):
    return server.phone("alice", password="secret")


@pytest.fixture
def bob(server):
    phone = server.phone("bob", password="secret")
    assert phone.register().status == 200
    return phone
