"""What MLflow shows of an experiment: its kind, a description, and a view that is opened by a key.

The UI opens an experiment as one of traces, without metrics. A view is stored as the UI's own
button *Share* stores it, in a tag of the experiment: JSON, deflated, in base64. Its fields are
those of ``ExperimentPageUIState`` and ``ExperimentPageSearchFacetsState`` in MLflow's code.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.tracking.entry import NOTE_TAG
from bench.tracking.keys import key_of
from datasets.processes import PROGRAM
from reports.formats.markdown import escape

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
VIEW_KEY = "medtuning"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
DICE, TUNED, GFLOP, MEMORY = (
    "dice/mean", "params/tuned", "compute/forward_gflop", "memory/peak_mib",
)  # fmt: skip
# Columns that are always there, in pixels: the name, and the time, of which the status is left.
ALWAYS = {"attributes.`Run Name`": 180, "runDateAndNestInfo": 44}
# What comes next. All of them fit into a window of 1366 pixels, beside MLflow's assistant, which
# opens by itself.
WIDTHS = {DICE: 90, TUNED: 110, GFLOP: 165, MEMORY: 140}
NARROW = 90
# Fields of the state that keep their values; older versions of the UI do not fill them in.
DEFAULTS: dict[str, Any] = {
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "viewMaximized": False,
    "runListHidden": False,
    "useGroupedValuesInCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "selectedXAxisMetricKey": "",
    },
}
LONGEST_VIEW = 5000  # of a tag of an experiment
SECTION = "medtuning-overview"


def view_path(experiment_id: str) -> str:
    """Return the part of an address after the server's that opens the view."""
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW_KEY}"
    return f"/#/experiments/{experiment_id}/runs?{query}"


def describe_results_page(
    client: MlflowClient, experiment: Experiment, title: str, regions: Sequence[str]
) -> None:
    """Give the experiment of a data set its kind, view and description, if it lacks them.

    A kind or a description that a user has changed is kept.
    """
    address = view_path(experiment.experiment_id)[1:]
    note = (
        f"Runs on {escape(title)}: "
        f"[methods by Dice, with parameters, FLOPs and memory]({address}). "
        f"`{PROGRAM} report` makes tables of them. The best run of a method: "
        f'`mlflow.search_logged_models(["{experiment.experiment_id}"], '
        "filter_string=\"params.method = 'lora'\", "
        'order_by=[{"field_name": "metrics.dice/mean", "ascending": False}])`.'
    )
    _set_missing(client, experiment, {KIND_TAG: KIND, NOTE_TAG: note})
    view = encode_view(build_view(regions))
    if len(view) > LONGEST_VIEW:
        view = encode_view(build_view(()))
    if experiment.tags.get(VIEW_TAG) != view:
        client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, view)


def describe_study_page(client: MlflowClient, experiment: Experiment) -> None:
    """Give the experiment of a tuning study its kind and description, if it lacks them."""
    note = (
        "A tuning study: the run of the study and, below it, one run per trial. Trials are "
        f"scored on an inner validation split. `{PROGRAM} report --kind tuning` makes a table."
    )
    _set_missing(client, experiment, {KIND_TAG: KIND, NOTE_TAG: note})


def _set_missing(client: MlflowClient, experiment: Experiment, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        if key not in experiment.tags:
            client.set_experiment_tag(experiment.experiment_id, key, value)


def build_view(regions: Sequence[str]) -> dict[str, Any]:
    """Return the view: a run per row, the highest Dice first, and three charts.

    Rows are flat because they are sorted by a metric: MLflow nests runs only by date.
    """
    widths = {f"metrics.`{name}`": width for name, width in WIDTHS.items()}
    widths |= {f"metrics.`{key_of('dice', region)}`": NARROW for region in regions}
    widths |= {"metrics.`hd95_mm/mean`": 115, "metrics.`time/fit_s`": NARROW}
    widths |= {"tags.`method`": 120, "attributes.`Dataset`": 260}
    return DEFAULTS | {
        "searchFilter": "",
        "orderByKey": f"metrics.`{DICE}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(widths),
        "columnOrder": [*ALWAYS, *widths],
        "columnWidths": ALWAYS | widths,
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunSections": [_build_section()],
        "compareRunCharts": [
            _build_chart("BAR", 0, metricKey=DICE, displayName="Dice"),
            _build_scatter(1, TUNED),
            _build_scatter(2, GFLOP),
        ],
    }


def encode_view(view: dict[str, Any]) -> str:
    """Return a view as the value of its tag."""
    packed = zlib.compress(json.dumps(view, separators=(",", ":")).encode(), 9)
    return f"deflate;{base64.b64encode(packed).decode()}"


def _build_section() -> dict[str, Any]:
    return {
        "uuid": SECTION,
        "name": "Dice and costs",
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _build_scatter(number: int, cost: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": cost, "type": "METRIC"}, "yaxis": {"key": DICE, "type": "METRIC"}}
    return _build_chart("SCATTER", number, runsCountToCompare=100, **axes)


def _build_chart(kind: str, number: int, **further: Any) -> dict[str, Any]:
    return {
        "uuid": f"{SECTION}-{number}",
        "type": kind,
        "metricSectionId": SECTION,
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
    } | further
