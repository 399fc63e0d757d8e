"""Finds with axe-core what keeps people from using a page, such as faint letters."""

import json
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
RUN = """
const done = arguments[0];
const options = { resultTypes: ["violations"] };
axe.run(document, options).then(({ violations }) => done(JSON.stringify(violations)));
"""
SERIOUS = ("serious", "critical")


def find_barriers(browser: Any) -> list[str]:
    """Return the serious findings in the page, a line each; skip the test without axe-core."""
    if not AXE.is_file():
        pytest.skip("needs axe-core (npm ci --ignore-scripts in tests/browser; make slow does it)")
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    browser.set_script_timeout(60)
    found = []
    for rule in json.loads(browser.execute_async_script(RUN)):
        if rule["impact"] in SERIOUS:
            where = [node["html"][:160] for node in rule["nodes"][:5]]
            found.append(f"{rule['id']}: {rule['help']}, {len(rule['nodes'])} times: {where}")
    return found
