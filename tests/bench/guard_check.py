"""The guard looks at itself: made-up figures, and what it must say of them. Takes no time, so it runs every time."""

import datetime
import tomllib

from guard_figures import figure, load, with_recorded
from guard_measure import allocations_in

TEXT = """# A comment that stays.
machine = "x86_64"

[figures.over]
what = "past its must when it was recorded"
recorded = 2_000  # and so is this
must = 1_000

[figures.under]
what = "within its must"
recorded = 500
must = 1_000

[figures.free]
what = "nothing is demanded"
recorded = 9.1

[figures.first]
what = "never measured yet"
must = 100

[[history]]
date = 2026-11-25
why = "the first"
changed = "all"
"""

DUMP = """fn=(1) relay::handler()
cfn=(2) malloc
calls=3 0
cfn=(3) operator new[](unsigned long)
calls=4 0
cfn=(4) free
calls=9 0
fn=(3)
cfn=(2)
calls=4 0
fn=(5) aligned_alloc
cfn=(6) mi_malloc_aligned
calls=5 0
fn=(1)
cfn=(5)
calls=5 0
fn=(6)
cfn=(2)
calls=1 0
"""


def expect(holds, what):
    if not holds:
        raise AssertionError(f"the guard is broken: {what}")


def check_verdicts():
    f = figure("f", "made up", recorded=1000)
    for measured, verdict in ((1110, "worse"), (1090, "same"), (1000, "same"), (960, "same"), (900, "better")):
        expect(f.verdict(measured) == verdict, f"{measured} after 1000 is {verdict}")
    expect(figure("f", "made up", recorded=9.08).verdict(10.02) == "worse", "one allocation more of nine is seen")
    expect(figure("f", "made up").verdict(5) == "new", "a figure without a record is new")


def refused(figures, measured):
    try:
        with_recorded(TEXT, figures, measured, "why", datetime.date(2026, 12, 1))
    except ValueError as refusal:
        return str(refusal)
    return ""


def check_recording():
    machine, figures = load(TEXT)
    expect(machine == "x86_64", "the machine is read")
    good = {"over": 1500.4, "under": 999, "free": 20.044, "first": 99}
    text = with_recorded(TEXT, figures, good, 'narrow "writes"', datetime.date(2026, 12, 1))
    recorded = {f.name: f.recorded for f in load(text)[1]}
    expect(recorded == {"over": 1500, "under": 999, "free": 20.04, "first": 99}, f"figures are written: {recorded}")
    expect("# A comment that stays." in text and "# and so is this" in text, "comments stay")
    history = tomllib.loads(text)["history"]
    expect([h["why"] for h in history] == ["the first", 'narrow "writes"'], "the reason is added")

    for name, measured in (("over", 2100), ("under", 1001), ("first", 101)):
        expect(name in refused(figures, good | {name: measured}), f"{name} is not recorded with {measured}")
    kept = load(with_recorded(TEXT, figures, good | {"over": 2020}, "why", datetime.date(2026, 12, 1)))[1]
    expect(kept[0].recorded == 2000, "what is past its must does not rise with the noise")


def check_history():
    text, (_, figures) = TEXT, load(TEXT)
    for day in range(1, 26):
        measured = {"over": 1500, "under": 500, "free": 9.1, "first": 1}
        text = with_recorded(text, figures, measured, f"day {day}", datetime.date(2026, 12, day))
    history = tomllib.loads(text)["history"]
    expect(len(history) == 20 and history[-1]["why"] == "day 25", "the history stays short")


def check_itself():
    check_verdicts()
    check_recording()
    check_history()
    expect(allocations_in(DUMP.splitlines()) == 12, "each allocation is counted once")
