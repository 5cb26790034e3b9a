"""The bench's table as a picture: python3 -m tests.bench.picture RESULT.json PICTURE.png

For each row, ours to Linux's better figure, drawn so that to the right is better; the mark is what is to be reached.
"""
import json
import sys

from . import table

_COLOURS = {True: "#2a7f62", False: "#b5483a", None: "#777777"}  # by whether the goal is reached


def draw(result, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    if "curves" in result:
        return draw_curves(result, path, pyplot)
    rows = [row for row in table.rows_of(result["settings"]["jobs"]) if table.ratio(result, row) is not None]
    figure, axes = pyplot.subplots(figsize=(11, 1.4 + 0.36 * max(len(rows), 1)))
    for place, row in enumerate(reversed(rows)):
        gain = _gain(row, table.ratio(result, row))
        good = table.reached(result, row)
        axes.barh(place, gain - 1, left=1, height=0.6, color=_COLOURS[good])
        if row.goal is not None:
            axes.plot([_gain(row, row.goal)] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.5)
        ours = table.number(table.figure(result, table.OURS, row.name))
        text = "%s : %s %s" % (ours, table.number(table.yardstick(result, row)), row.unit)
        axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row.title for row in reversed(rows)], fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times as good as the better Linux (black mark: to be reached)")
    axes.set_title("ours : Linux, an instruction a nanosecond", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def draw_curves(result, path, pyplot):
    """One small picture an axis."""
    points = result["points"]
    axes_of = list(dict.fromkeys(point["axis"] for point in points))
    figure, places = pyplot.subplots(1, len(axes_of), figsize=(3.6 * len(axes_of), 3.4))
    for place, axis in zip(places, axes_of):
        chosen = [i for i, point in enumerate(points) if point["axis"] == axis]
        for variant, of in sorted(result["curves"].items()):
            place.plot([points[i]["value"] for i in chosen], [of[i] for i in chosen], marker="o", label=variant)
        values = [points[i]["value"] for i in chosen]
        place.set_xscale("log")
        place.minorticks_off()
        place.set_xticks(values, ["%dk" % (value // 1000) if value >= 1000 else value for value in values])
        known = [of[i] for of in result["curves"].values() for i in chosen if of[i] is not None]
        place.set_ylim(0, 1.15 * max(known, default=1))
        place.set_xlabel(axis)
    places[0].set_ylabel("firewall CPU, ns a packet of 64 octets")
    places[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _gain(row, ratio):
    return 1 / ratio if row.better == table.LESS else ratio


if __name__ == "__main__":
    with open(sys.argv[1]) as text:
        draw(json.load(text), sys.argv[2])
