"""Figures side by side: collects them in rounds, prints tables, writes JSON."""

import json
import statistics


def spread(values):
    """(median, least, most)"""
    return statistics.median(values), min(values), max(values)


def number(value):
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f}"


class Row:
    def __init__(self, label):
        self.label, self.first, self.second, self.note = label, [], [], ""

    def ratios(self):
        """One for each round: its two runs were made one after the other."""
        return [a / b for a, b in zip(self.first, self.second) if b]

    def as_data(self):
        ratios = self.ratios()
        middle = spread(ratios) if ratios else (None, None, None)
        return {
            "label": self.label,
            "first": self.first,
            "second": self.second,
            "ratio": dict(zip(("median", "min", "max"), middle)),
            "note": self.note,
        }

    def text(self, target):
        first, second = (statistics.median(v) if v else None for v in (self.first, self.second))
        ratios = [number(value) for value in spread(self.ratios())] if self.ratios() else ["-"] * 3
        cells = [number(first), number(second), *ratios]
        line = f"  {self.label:<22}" + "".join(
            f"{cell:>{width}}" for cell, width in zip(cells, (12, 12, 8, 7, 7))
        )
        return "  ".join(part for part in (line, target, self.note) if part)


class Section:
    """A table: one unit, two programs, a row for each kind of load."""

    def __init__(self, title, names, target="", target_rows=""):
        self.title, self.names, self.rows = title, names, {}
        self.target, self.target_rows = target, target_rows

    def add(self, label, first=None, second=None, note=""):
        row = self.rows.setdefault(label, Row(label))
        row.note = note or row.note
        if first is not None:
            row.first.append(first)
        if second is not None:
            row.second.append(second)

    def target_of(self, label):
        return f"[target: {self.target}]" if self.target and self.target_rows in label else ""

    def text(self):
        first, second = self.names
        head = f"{self.title}\n  {'':<22}{first:>12}{second:>12}{'ratio':>8}{'min':>7}{'max':>7}"
        return "\n".join([head] + [row.text(self.target_of(key)) for key, row in self.rows.items()])

    def as_data(self):
        return {
            "title": self.title,
            "names": self.names,
            "target": self.target,
            "rows": [
                {**row.as_data(), "has_target": bool(self.target_of(key))}
                for key, row in self.rows.items()
            ],
        }


class Report:
    def __init__(self):
        self.sections, self.notes, self.failures = [], [], []

    def section(self, *arguments, **named):
        self.sections.append(Section(*arguments, **named))
        return self.sections[-1]

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def text(self):
        parts = [section.text() for section in self.sections if section.rows]
        if self.notes:
            parts.append("Notes\n" + "\n".join(f"  {note}" for note in self.notes))
        if self.failures:
            parts.append("Failed\n" + "\n".join(f"  {failure}" for failure in self.failures))
        return "\n\n".join(parts)

    def write_json(self, path, about):
        data = {
            **about,
            "sections": [section.as_data() for section in self.sections if section.rows],
            "notes": self.notes,
            "failures": self.failures,
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.write("\n")
