"""The figures of the table: what each is, what it must be and should be, and how it is shown. Data and plain text."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class figure:
    name: str
    title: str  # may name {stored}, {million}, …: see sizes
    unit: str = ""
    at_least: float | None = None  # must; then the goal is one too
    at_most: float | None = None
    goal: float | None = None

    def shown(self, number):
        if number is None:
            return ""
        sign = "≥" if self.at_least is not None else "≤"
        return f"{sign} {plain(number)}{self.unit}"

    def verdict(self, value):
        must = self.at_least if self.at_least is not None else self.at_most
        if must is None:
            return ""
        if not self._holds(value, must):
            return "**no**"
        return "yes" if self.goal is None or not self._holds(value, self.goal) else "goal"

    def _holds(self, value, limit):
        return value >= limit if self.at_least is not None else value <= limit


FIGURES = [
    figure("post_64", "POST, two durable commits, c = 64", at_least=0.35, goal=0.5),
    figure("post_256", "POST, c = 256", at_least=0.40, goal=0.5),
    figure("post_1000", "POST, c = 1000", at_least=0.40, goal=0.5),
    figure("post_cpu", "CPU of a POST, c = 64, all threads", " µs", at_most=45, goal=30),
    figure("post_p99_64", "p99 of POST to nginx's, c = 64", " ×", at_most=4, goal=2),
    figure("post_p99_256", "p99 of POST to nginx's, c = 256", " ×", at_most=3, goal=2),
    figure("open_500_cpu", "POST, open loop 500/s: of one core", " %", at_most=8),
    figure("open_500_p999", "POST, open loop 500/s: p99.9", " ms", at_most=3),
    figure("open_2000_cpu", "POST, open loop 2,000/s: of one core", " %", at_most=25),
    figure("open_2000_p999", "POST, open loop 2,000/s: p99.9", " ms", at_most=4),
    figure("get_recent_64", "GET one recent job, c = 64", at_least=2.0, goal=2.5),
    figure("get_recent_256", "GET one recent job, c = 256", at_least=2.0, goal=2.5),
    figure("get_random", "GET random over {stored} stored, c = 64", at_least=0.9, goal=1.3),
    figure("batch_memory", "`/luma/tasks`, the same 100 ids, c = 64", at_least=0.8, goal=1.1),
    figure("batch_random", "`/luma/tasks`, 100 random of {stored}, c = 64", at_least=0.15, goal=0.4),
    figure("list_first", "list `limit=20`, first page of {stored}, c = 64", at_least=0.5),
    figure("list_far", "list `limit=20`, `offset={offset}`, c = 64", at_least=0.3),
    figure("disk_bytes", "bytes given to write(2) per POST, c = 64", " B", at_most=8000),
    figure("disk_blocks", "bytes sent to the disk per POST, c = 64", " B"),
    figure("disk_writes", "writes per POST, c = 64"),
    figure("million_start", "{million} stored: start with a cold cache", " s", at_most=4),
    figure("million_metrics", "{million} stored: `/metrics`", " ms", at_most=2),
    figure("million_p99", "{million} stored: worst p99 of GET, 1,000/s, beside metrics, lists, operator queries", " ms",
           at_most=3),
    figure("export_usage", "a month's usage of {stored} jobs of 200 accounts, by everything, as CSV", " ms"),
    figure("export_p99", "worst p99 of GET, 1,000/s, beside exports of usage and of the ledger", " ms", at_most=20),
    figure("open_few_cpu", "{few} open jobs, interval 3 s: of one core", " %", at_most=12),
    figure("open_few_polls", "{few} open jobs, interval 3 s: polls", "/s"),
    figure("open_many_poll", "{many} open jobs: CPU of a poll", " µs", at_most=40),
    figure("open_many_polls", "{many} open jobs: polls", "/s"),
    figure("idle", "an idle connection, {idle} held", " B", at_most=5000),
    figure("drain", "{drain} pending jobs go out", "/s", at_least=5000),
]


@dataclasses.dataclass
class measured:
    values: list  # of each round
    nginx: str = ""
    relay: str = ""
    cpu: str = ""

    @property
    def value(self):
        return statistics.median(self.values)

    def shown(self, unit):
        text = plain(self.value) + unit
        if len(self.values) == 1:
            return text
        return f"**{text}** ({plain(min(self.values))}–{plain(max(self.values))})"


def plain(number):
    """Three digits, and a comma in thousands."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def table(found, sizes):
    """Markdown. `found`: name -> measured, or the text of what prevented it."""
    lines = [
        "| | nginx | relay | figure: median (min–max) | CPU µs/request | must | goal | met? |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for f in FIGURES:
        if f.name not in found:
            continue
        m = found[f.name]
        must = f.at_least if f.at_least is not None else f.at_most
        lines.append("| " + " | ".join([f.title.format(**sizes), m.nginx, m.relay, m.shown(f.unit), m.cpu,
                                        f.shown(must), f.shown(f.goal), f.verdict(m.value)]) + " |")
    return "\n".join(lines)
