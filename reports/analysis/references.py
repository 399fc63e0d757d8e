"""Which settings a reference network is compared in: it has no backbone and no pre-training.

So one run of it stands beside the methods on every backbone, as long as data and the rest of the
protocol are the same.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from reports.analysis.tidy import NO_BACKBONE, setting_of
from reports.records.run import REFERENCE, RunResult
from reports.records.study import StudyRecord

MODEL = "model"  # the section of the protocol that the run of a reference network lacks


def place_references(results: Sequence[RunResult]) -> list[RunResult]:
    """Return the results, each reference network's once for every setting that it belongs to.

    It belongs to the settings of its data set and number of training cases whose protocol is its
    own but for the network. Where no protocol is, it is put into all of these settings, so that
    the difference is found there; where there is no such setting, it stays alone.
    """
    placed = [result for result in results if result.kind != REFERENCE]
    hosts = _pick_hosts(placed)
    for result in results:
        if result.kind == REFERENCE:
            placed += _place(result, hosts)
    return placed


def place_studies(studies: Sequence[StudyRecord]) -> list[StudyRecord]:
    """Return the studies, each of a reference network once for every backbone and its weights.

    Its fold, training cases and budget are those of the studies there; else it stays alone.
    """
    placed = [study for study in studies if study.backbone != NO_BACKBONE]
    hosts = {(_describe_place(each), each.backbone, each.weights): each for each in placed}
    for study in studies:
        if study.backbone == NO_BACKBONE:
            own = _describe_place(study)
            near = [host for (place, _, _), host in hosts.items() if place == own]
            placed += [
                replace(study, backbone=host.backbone, weights=host.weights) for host in near
            ] or [study]
    return placed


def _describe_place(study: StudyRecord) -> str:
    return json.dumps([study.dataset, study.fold, study.shots, study.tune], sort_keys=True)


def _pick_hosts(results: Iterable[RunResult]) -> list[RunResult]:
    """Return a run of each setting and protocol."""
    hosts: dict[tuple[object, str], RunResult] = {}
    for result in results:
        hosts.setdefault((setting_of(result), result.protocol_id), result)
    return list(hosts.values())


def _place(reference: RunResult, hosts: Sequence[RunResult]) -> list[RunResult]:
    own = setting_of(reference)
    near = []
    for host in hosts:
        alike = replace(setting_of(host), backbone=own.backbone, weights=own.weights)
        if replace(alike, decoder="", decoder_mode="", decoder_from="") == own:
            near.append(host)
    equal = [host for host in near if _describe_rest(host) == _describe_rest(reference)]
    if equal:
        return [_move(reference, host, host.protocol_id) for host in equal]
    others = {setting_of(host): host for host in near}
    return [_move(reference, host, reference.protocol_id) for host in others.values()] or [
        reference
    ]


def _describe_rest(result: RunResult) -> str:
    rest = {section: values for section, values in result.protocol.items() if section != MODEL}
    return json.dumps(rest, sort_keys=True)


def _move(reference: RunResult, host: RunResult, protocol_id: str) -> RunResult:
    protocol = reference.protocol | {MODEL: host.protocol.get(MODEL)}
    return replace(
        reference,
        backbone=host.backbone,
        weights=host.weights,
        protocol=protocol,
        protocol_id=protocol_id,
    )
