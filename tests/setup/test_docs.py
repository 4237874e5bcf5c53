"""The documents keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from odl_daemon.model.task import Phase

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_every_phase_is_in_the_table_of_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("| phase |") : text.index("*Retried* means")]
    assert [phase for phase in Phase if phase not in table] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_first_config_is_the_one_that_is_installed() -> None:
    shown = (ROOT / "docs" / "operations.md").read_text()
    lines = [line for line in (ROOT / "systemd" / "config.toml").read_text().splitlines() if not line.startswith("#")]
    assert "".join(f"    {line}\n" for line in lines) in shown
