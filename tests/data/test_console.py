from concurrent.futures import Future

from data.console import map_ahead


class Pool:
    """Does nothing until a result is asked for; `started` are the items that were handed out."""

    def __init__(self) -> None:
        self.started, self.futures = [], []

    def submit(self, function, item) -> Future:
        future = Future()
        future.result = lambda: function(item)
        self.started.append(item)
        self.futures.append(future)
        return future


def test_results_come_in_order_and_few_items_are_under_way():
    pool, done = Pool(), []
    for result in map_ahead(pool, lambda item: 10 * item, range(6), 2):
        done.append(result)
        assert len(pool.started) <= len(done) + 2
    assert done == [0, 10, 20, 30, 40, 50]
    assert pool.started == [*range(6)]


def test_what_waits_is_dropped_when_nobody_wants_it():
    pool = Pool()
    results = map_ahead(pool, str, iter(range(100)), 3)
    assert next(results) == "0"
    results.close()
    assert pool.started == [0, 1, 2, 3]
    assert [future.cancelled() for future in pool.futures] == [False, True, True, True]


def test_nothing_makes_nothing():
    assert list(map_ahead(Pool(), str, (), 3)) == []
