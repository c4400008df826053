"""Prometheus' text exposition format, for node_exporter's textfile collector.

https://prometheus.io/docs/instrumenting/exposition_formats/ has the grammar.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Metric(NamedTuple):
    """A gauge."""

    name: str
    meaning: str
    samples: Sequence[tuple[Mapping[str, str], int]]  # labels, and the value


def exposition(metrics: Iterable[Metric]) -> str:
    """The text of metrics; of one without samples there is none."""
    return "".join(f"{line}\n" for metric in metrics if metric.samples for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.meaning}"
    yield f"# TYPE {metric.name} gauge"
    # A series may be there once: two images may have one label.
    series: dict[str, int] = {}
    for labels, value in metric.samples:
        text = ",".join(f'{name}="{_label(one)}"' for name, one in labels.items())
        series.setdefault(text, value)
    for text, value in series.items():
        yield f"{metric.name}{{{text}}} {value}"


def _label(text: str) -> str:
    """A label's value: UTF-8 in which backslash, quote and line end are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().translate(_ESCAPED)
