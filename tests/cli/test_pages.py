from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from odl_daemon.cli.settings_page import EXAMPLE, PAGE, written
from odl_daemon.config.settings import SECTIONS, settings_of
from odl_daemon.model.task import Reason

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", [PAGE, EXAMPLE])
def test_what_is_made_of_the_settings_is_up_to_date(path: str) -> None:
    assert (PROJECT / path).read_text() == written()[path], "run: python -m odl_daemon.cli.settings_page ."


def test_the_example_shows_every_default() -> None:
    uncommented = re.sub(r"^#(?=[a-z])", "", written()[EXAMPLE], flags=re.MULTILINE)
    assert tomllib.loads(uncommented) == {
        section: {key: setting.default for key, setting in settings_of(section).items()} for section in SECTIONS
    }
    assert tomllib.loads(written()[EXAMPLE]) == {section: {} for section in SECTIONS}


def test_every_reason_is_explained() -> None:
    rows = [line for line in (PROJECT / "docs/reasons.md").read_text().splitlines() if line.startswith("| `")]
    told = [word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(told) == sorted(reason.value for reason in Reason if reason is not Reason.NONE)
