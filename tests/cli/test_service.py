from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from odl_daemon import app
from odl_daemon.cli import service
from odl_daemon.config import Config, ConfigError
from odl_daemon.premises import OperatorError


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, place: Path) -> Callable[[object], None]:
    """Scripts how the daemon ends."""

    def script(ending: object) -> None:
        def run(config: Config, reload: Callable[[], Config]) -> object:
            if isinstance(ending, BaseException):
                raise ending
            return ending

        monkeypatch.setattr(app, "run", run)

    return script


def test_its_exit_code_is_the_daemons(running: Callable[[object], None]) -> None:
    running(0)
    assert service.main([]) == 0


def test_what_the_operator_must_mend_is_a_sentence_and_code_2(
    running: Callable[[object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    running(OperatorError("another odl-daemon works here"))
    assert service.main([]) == 2
    assert capsys.readouterr().err == "odl-daemon: another odl-daemon works here\n"


def test_a_mistake_of_ours_is_a_sentence_and_its_traceback_is_kept_in_a_file(
    running: Callable[[object], None], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running(RuntimeError("oops"))
    assert service.main([]) == 1
    kept = place / "state/broken.txt"
    told = capsys.readouterr().err
    assert told == f"odl-daemon: it broke (RuntimeError: oops); {kept} tells where: please report it\n"
    assert "Traceback" in kept.read_text()


def test_settings_are_read_anew_from_the_same_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def run(config: Config, reload: Callable[[], Config]) -> int:
        (place / "config.toml").write_text("[download]\nslots = 7")
        read.append(reload().download.slots)
        (place / "config.toml").write_text("[download]\nslots = 0")
        with pytest.raises(ConfigError):
            reload()
        return 0

    monkeypatch.setattr(app, "run", run)
    assert service.main(["--config", str(place / "config.toml")]) == 0
    assert read == [7]
