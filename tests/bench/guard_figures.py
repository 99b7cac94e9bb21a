"""What the measured figures are compared with, and how they are recorded. No measuring here: text and numbers."""

import dataclasses
import re
import tomllib

ALLOWED = 1.10  # times the recorded figure
BETTER = 0.95   # at or below this part of it, it is time to record
NOISE = 1.03    # what two runs of one binary differ by
HISTORY_KEPT = 20


@dataclasses.dataclass(frozen=True)
class figure:
    name: str
    what: str
    recorded: float | None = None  # None: never measured yet
    must: float | None = None      # None: nothing is demanded

    def verdict(self, measured):
        """"worse" fails."""
        if self.recorded is None:
            return "new"
        if measured > self.recorded * ALLOWED:
            return "worse"
        return "better" if measured <= self.recorded * BETTER else "same"

    def to_record(self, measured):
        """The figure to write. ValueError: what is past its must is not recorded. One that was past it when it was
        recorded can stay or fall; within the noise it stays."""
        if self.must is None or measured <= self.must:
            return rounded(measured)
        if self.recorded is not None and self.recorded > self.must and measured <= self.recorded * NOISE:
            return rounded(min(measured, self.recorded))
        raise ValueError(f"{self.name}: {shown(measured)} is past its must of {shown(self.must)}"
                         + (f" and above the recorded {shown(self.recorded)}" if self.recorded else ""))


def load(text):
    """The machine that the figures hold for, and the figures."""
    tables = tomllib.loads(text)
    figures = [figure(name, **table) for name, table in tables["figures"].items()]
    return tables["machine"], figures


def rounded(number):
    """Small figures keep two digits: one allocation of nine is not noise."""
    return round(number, 2) if number < 100 else round(number, 1) if number < 1000 else round(number)


def shown(number):
    return "" if number is None else f"{rounded(number):,}"


def change(measured, recorded):
    return f"{100 * (measured / recorded - 1):+.1f} %" if recorded else ""


def with_recorded(text, figures, measured, why, day):
    """The text of guard.toml with the measured figures, everything else as it was, and a line of history. ValueError:
    some may not be recorded; nothing is."""
    refusals, changed = [], []
    for f in figures:
        try:
            new = f.to_record(measured[f.name])
        except ValueError as refusal:
            refusals.append(str(refusal))
            continue
        if new != f.recorded:
            text = replaced(text, f.name, new)
            changed.append(f"{f.name} {change(new, f.recorded) or new}")
    if refusals:
        raise ValueError("\n".join(refusals))
    return with_history(text, why, day, ", ".join(changed) or "nothing")


def replaced(text, name, number):
    head = rf"^\[figures\.{re.escape(name)}\]\n(?:(?!\[).*\n)*?"
    changed, times = re.subn(rf"({head}recorded *= *)\S+", lambda m: m[1] + toml_number(number), text, flags=re.M)
    if not times:
        changed, times = re.subn(rf"({head}what *=.*\n)", lambda m: f"{m[1]}recorded = {toml_number(number)}\n", text,
                                 flags=re.M)
    if times != 1:
        raise ValueError(f"{name}: guard.toml has no place for it")
    return changed


def toml_number(number):
    return f"{number:_}"


def with_history(text, why, day, changed):
    """The newest last, and not more than HISTORY_KEPT of them."""
    start, *entries = re.split(r"(?m)^(?=\[\[history\]\]$)", text)
    entries = [e.strip() for e in entries]
    entries.append(f"[[history]]\ndate = {day}\nwhy = {quoted(why)}\nchanged = {quoted(changed)}")
    return start.rstrip() + "\n\n" + "\n\n".join(entries[-HISTORY_KEPT:]) + "\n"


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", " ", escaped) + '"'
