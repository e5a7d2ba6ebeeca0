"""The namespace `metrics` as scripts see it (API 15.3)."""

import pytest
from script_kit import Bench

from siphon import metrics
from siphon.services.metrics import families


@pytest.fixture
def bench(tmp_path):
    """A process whose script has loaded; what is called outside of handlers is bound to it."""
    return Bench(
        tmp_path, "from siphon import metrics, proxy\nCALLS = metrics.counter('calls', 'Calls.', ['result'])\n"
    )


def test_registering_the_same_metric_again_is_registering_it_once(bench):
    first = metrics.counter("tries", "Tries.", ["kind"])
    again = metrics.counter("tries", "Tries.", ["kind"])
    first.labels(kind="a").inc()
    again.labels(kind="a").inc(2)
    family = next(f for f in families(bench.services.metrics._table) if f.name == "tries")
    assert [sample.value for sample in family.samples] == [3]


def test_a_script_may_be_loaded_again_and_again(bench):
    bench.runtime.load()
    bench.write("from siphon import metrics\nCALLS = metrics.gauge('calls', 'Calls.')\nCALLS.set(4)\n")
    bench.runtime.load()
    family = families(bench.services.metrics._table)[0]
    assert (family.kind, family.samples[0].value) == ("gauge", 4)


@pytest.mark.parametrize("name", ["", "9lives", "with-dash", "__own", "a b", "zähler", "siphon_mine", "a\n"])
def test_names_are_those_of_prometheus(bench, name):
    with pytest.raises(ValueError):
        metrics.counter(name, "x")


@pytest.mark.parametrize("label", ["", "1st", "a:b", "__name", "a-b", "le"])
def test_labels_are_those_of_prometheus(bench, label):
    with pytest.raises(ValueError):
        metrics.histogram("fine", "x", [label])


@pytest.mark.parametrize("buckets", [[], [1, 1], [2, 1], [float("nan")], [float("inf")]])
def test_buckets_rise(bench, buckets):
    with pytest.raises(ValueError):
        metrics.histogram("fine", "x", buckets=buckets)


@pytest.mark.parametrize("buckets", ["123", b"12", ["1", "2"], [None], [True, 2], 5])
def test_buckets_are_a_list_of_numbers(bench, buckets):
    with pytest.raises(TypeError, match="^(buckets is a list of numbers|a bucket is a number), not "):
        metrics.histogram("fine", "x", buckets=buckets)


@pytest.mark.parametrize("labels", ["method", 5, 3.5, True, object()])
def test_labels_are_a_list_of_str(bench, labels):
    with pytest.raises(TypeError, match="^labels is a list of str, not "):
        metrics.counter("fine", "x", labels)


def test_other_buckets_of_a_histogram_that_is_there_are_not_taken_and_warned_of(bench):
    metrics.histogram("sizes", "x", buckets=[1, 2]).observe(1.5)
    metrics.histogram("sizes", "x").observe(1.5)
    assert "sizes" not in bench.log.text
    metrics.histogram("sizes", "x", buckets=[5]).observe(1.5)
    assert "metrics.histogram: sizes is already there with other buckets, which stay" in bench.log.text
    family = next(f for f in families(bench.services.metrics._table) if f.name == "sizes")
    bounds = {dict(s.labels)["le"]: s.value for s in family.samples if "le" in dict(s.labels)}
    assert bounds == {"1": 0, "2": 3, "+Inf": 3}


def test_a_number_that_no_float_holds_is_a_value_error(bench):
    for call in (metrics.counter("large", "x").inc, metrics.gauge("huge", "x").set):
        with pytest.raises(ValueError, match="too large"):
            call(10**400)
    with pytest.raises(ValueError, match="too large"):
        metrics.histogram("wide", "x", buckets=[1, 10**400])


def test_a_label_may_have_any_name_that_prometheus_takes(bench):
    metrics.counter("named", "x", ["self", "name"]).labels(self="a", name="b").inc()
    family = next(f for f in families(bench.services.metrics._table) if f.name == "named")
    assert [dict(s.labels) for s in family.samples] == [{"self": "a", "name": "b"}]


def test_labels_are_given_all_and_no_others(bench):
    counter = metrics.counter("marked", "x", ["one", "two"])
    for wrong in ({}, {"one": 1}, {"one": 1, "two": 2, "three": 3}, {"one": 1, "thre": 3}):
        with pytest.raises(ValueError):
            counter.labels(**wrong)
    with pytest.raises(ValueError, match="has labels"):
        counter.inc()
    with pytest.raises(ValueError, match="has no labels"):
        metrics.counter("bare", "x").labels(one=1)
    with pytest.raises(ValueError, match="already"):
        counter.labels(one=1, two=2).labels(one=1, two=2)


def test_a_counter_never_falls(bench):
    counter = metrics.counter("rises", "x")
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            counter.inc(wrong)
    for wrong in ("1", None, True):
        with pytest.raises(TypeError):
            counter.inc(wrong)


def test_a_handler_counts(bench):
    bench.write(
        """
        from siphon import metrics, proxy
        SEEN = metrics.counter("seen", "Seen.", ["method"])
        SIZE = metrics.histogram("size", "Size.", buckets=[10, 100])

        @proxy.on_request
        def route(request):
            SEEN.labels(method=request.method).inc()
            SIZE.observe(len(request.call_id))
            request.reply(200, "OK")
        """
    )
    bench.runtime.load()
    message = (
        b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:example.com>\r\nCall-ID: 12345\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    for _ in range(3):
        bench.route(message)
    found = {f.name: f for f in families(bench.services.metrics._table)}
    assert [(dict(s.labels), s.value) for s in found["seen"].samples] == [({"method": "OPTIONS"}, 3)]
    assert [s.value for s in found["size"].samples] == [3, 3, 3, 15, 3]
