"""What the tests of the flags share: an empty folder to work in, and the text of a mistake."""

import pytest

from flags.errors import UserError


@pytest.fixture
def mistake_of():
    """Calls a function that must raise UserError, and returns its message, which must be one line."""

    def call(function, *arguments) -> str:
        with pytest.raises(UserError) as raised:
            function(*arguments)
        message = str(raised.value)
        assert message
        assert "\n" not in message
        return message

    return call


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Makes an empty folder the current one, so that no run of this checkout is seen."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
