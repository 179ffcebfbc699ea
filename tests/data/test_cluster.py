"""What a bucket's end is called: the faults of a cluster that no test with real processes brings about every time."""

from concurrent.futures import CancelledError

import pytest

from data.cluster import GONE, _result


class Ended:
    """A future of Dask's whose result raises `error`."""

    def __init__(self, status: str, error: Exception) -> None:
        self.status, self.error = status, error

    def result(self):
        raise self.error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("cancelled", CancelledError()),
        ("finished", OSError("in <TCP>: ConnectionResetError: [Errno 104] Connection reset by peer")),
    ],
)
def test_a_scheduler_that_is_gone_is_called_that_however_it_shows(status, error):
    with pytest.raises(RuntimeError, match=GONE):
        _result(Ended(status, error))


def test_storage_that_failed_is_no_lost_scheduler():
    with pytest.raises(OSError, match="No space left on device"):
        _result(Ended("error", OSError(28, "No space left on device")))
