"""Tumour grades from the name_mapping.csv that comes with BraTS 2019 and 2020."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path


def read_grades(files: Iterable[Path]) -> dict[str, str]:
    """Return case id -> HGG or LGG for every subject that the tables name; a table without grades adds nothing."""
    grades: dict[str, str] = {}
    for file in files:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            for row in csv.DictReader(stream):
                grade = row.get("Grade") or ""
                ids = [value for key, value in row.items() if key and key.endswith("subject_ID") and value]
                grades |= dict.fromkeys(ids, grade)
    return grades
