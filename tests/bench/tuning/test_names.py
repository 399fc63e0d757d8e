"""Names of studies."""

from bench.tuning.plan import name_study
from reports.records.study import Cell


def test_methods_that_differ_have_studies_that_differ() -> None:
    names = ["lora", "lora[alpha=1]", "lora[alpha=-1]", "lora[alpha=1e-4]", "lora[alpha=1e+4]"]
    studies = [name_study(Cell(name, "brats", "tiny_vit", "", 0, 0)) for name in names]
    assert studies[:2] == ["brats-lora-tiny_vit-f0", "brats-lora-alpha-1-tiny_vit-f0"]
    assert studies[3] == "brats-lora-alpha-1e-4-tiny_vit-f0"
    assert len(set(studies)) == len(names)
