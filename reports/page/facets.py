"""What the page is filtered by: data set, family of the method, tuned or not.

Each part of the page names its own in attributes, as numbers of the choices. A part without an
attribute is shown under any choice.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from markupsafe import Markup

from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import setting_of
from reports.names import FAMILIES, Names, name_dataset
from reports.records.run import REFERENCE, RunResult
from reports.records.study import StudyRecord
from reports.tables.families import OTHER
from reports.tables.layout import REFERENCES
from reports.tables.table import Cell, Column, Table

DEFAULT, TUNED = "default settings", "tuned"
DATASET, FAMILY, TUNING = "dataset", "family", "tuning"  # names of the attributes
Values = tuple[str, str, str]  # data set (a key), family, `DEFAULT` or `TUNED`


@dataclass(frozen=True)
class Choice:
    """One filter: its attribute, its label, and what can be chosen, by key."""

    name: str
    label: str
    options: dict[str, str]  # key -> how it is printed


class Facets:
    """The filters of a page, and the attributes of its parts."""

    def __init__(
        self, results: Sequence[RunResult], studies: Sequence[StudyRecord], names: Names
    ) -> None:
        self._runs = {run.run_id: _values_of(run) for run in results}
        self._families = {run.label: _family_of(run) for run in results}
        families = {run.method: _family_of(run) for run in results}
        self._studies: dict[str, Values] = {}
        for study in studies:
            family = families.get(study.method.partition("[")[0], OTHER)
            self._studies[study.name] = (study.dataset, family, TUNED)
        titles: dict[str, str] = {}
        records: list[RunResult | StudyRecord] = [*results, *studies]
        for record in records:
            title = name_dataset(record.dataset, record.dataset_title, names)
            titles.setdefault(record.dataset, title)
        found = [*self._runs.values(), *self._studies.values()]
        tunings = {tuning for *_, tuning in found}
        self.choices = (
            Choice(DATASET, "Data set", titles),
            Choice(FAMILY, "Family", _name_families({family for _, family, _ in found}, names)),
            Choice(TUNING, "Settings", {key: key for key in (DEFAULT, TUNED) if key in tunings}),
        )

    def mark_run(self, run: RunResult) -> Markup:
        """Return the attributes of the row of a run."""
        return self._mark([self._runs[run.run_id]])

    def mark_table(self, table: Table) -> Markup:
        """Return the attributes of a table, by the runs and studies behind it."""
        return self._mark(self._list_behind(table))

    def mark_row(self, cells: Sequence[Cell]) -> Markup:
        """Return the family of the method that a row of a table is about, if it is about one."""
        for cell in cells[:1]:
            key = cell.own_key
            family = self._families.get(key) or self._families.get(key.partition(" [")[0])
            if family:
                return self._attribute(self.choices[1], [family])
        return Markup("")

    def mark_column(self, column: Column) -> Markup:
        """Return the data set of a column, where a table has those of several."""
        for dataset in self.choices[0].options:
            if column.key.startswith(f"{dataset}:"):
                return self._attribute(self.choices[0], [dataset])
        return Markup("")

    def mark_columns(self, columns: Sequence[Column]) -> Markup:
        """Return the data set of a heading over several columns, if they have one in common."""
        marks = {self.mark_column(column) for column in columns}
        return marks.pop() if len(marks) == 1 else Markup("")

    def mark_setting(self, comparison: MethodComparison) -> Markup:
        """Return the attributes of what is shown of a setting, for methods of all families."""
        tuning = TUNED if comparison.setting.tuned else DEFAULT
        first, _, last = self.choices
        found = self._attribute(first, [comparison.setting.dataset])
        return found + self._attribute(last, [tuning])

    def number_families(self, labels: Iterable[str]) -> list[int]:
        """Return the number of the family of each method."""
        places = list(self.choices[1].options)
        return [places.index(self._families[label]) for label in labels]

    def number_setting(self, comparison: MethodComparison) -> dict[str, int]:
        """Return the numbers of the data set and the tuning of a setting."""
        tuning = TUNED if comparison.setting.tuned else DEFAULT
        first, _, last = self.choices
        return {
            DATASET: list(first.options).index(comparison.setting.dataset),
            TUNING: list(last.options).index(tuning),
        }

    def _list_behind(self, table: Table) -> list[Values]:
        found = []
        for line in table.comments:
            run_id = line.rpartition(": ")[2].rpartition(" (")[0]
            study = line.removeprefix("study ").rpartition(", fold ")[0]
            values = self._runs.get(run_id) or self._studies.get(study)
            if values:
                found.append(values)
        return found

    def _mark(self, values: Sequence[Values]) -> Markup:
        marks = Markup("")
        for place, choice in enumerate(self.choices):
            marks += self._attribute(choice, [each[place] for each in values])
        return marks

    def _attribute(self, choice: Choice, keys: Iterable[str]) -> Markup:
        places = list(choice.options)
        numbers = sorted({places.index(key) for key in keys})
        if not numbers:
            return Markup("")
        text = " ".join(map(str, numbers))
        return Markup(' data-{}="{}"').format(choice.name, text)


def _name_families(found: Set[str], names: Names) -> dict[str, str]:
    """Return families by key in the order of the tables, others after them."""
    ordered = [each for each in (*FAMILIES, REFERENCES) if each in found]
    ordered += sorted(found - set(ordered))
    return {key: names.find(key, FAMILIES.get(key, "")) for key in ordered}


def _values_of(run: RunResult) -> Values:
    return run.dataset, _family_of(run), TUNED if setting_of(run).tuned else DEFAULT


def _family_of(run: RunResult) -> str:
    return REFERENCES if run.kind == REFERENCE else run.family or OTHER
