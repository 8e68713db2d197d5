"""What is said on the command line is what is measured."""

from __future__ import annotations

import pytest

from benchmarks.command import JOBS, Choice, choose, parser, spoken
from benchmarks.measure import Settings


def chosen(line: str) -> tuple[Settings, dict[str, Choice]]:
    return choose(parser().parse_args(line.split()))


def test_a_whole_run_has_every_job() -> None:
    settings, jobs = chosen("")
    assert list(jobs) == list(JOBS)
    assert settings == Settings()
    assert jobs["http"].rounds == settings.rounds
    assert jobs["idle"].rounds == 1


def test_what_the_fast_lane_is_worth_is_measured_in_a_whole_run() -> None:
    _, jobs = chosen("")
    with_plain = [name for name, choice in jobs.items() if "nbdriver-plain" in choice.peers]
    assert with_plain == ["http", "websocket", "large"]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", "make bench"),
        ("--write-docs", "make bench ARGS=--write-docs"),
        ("--quick", "make bench-quick"),
        ("--only http --quick --rounds 2", "make bench-quick ARGS='--only http --rounds 2'"),
    ],
)
def test_a_run_is_told_as_the_command_that_repeats_it(line: str, command: str) -> None:
    assert spoken(line.split()) == command


def test_a_quick_run_has_fewer_jobs_and_the_peers_of_the_targets() -> None:
    settings, jobs = chosen("--quick")
    assert "nbdriver-plain" not in {peer for choice in jobs.values() for peer in choice.peers}
    assert "scaling" not in jobs
    assert settings.rounds < Settings().rounds
    assert "aiohttp" in jobs["http"].peers
    assert "nonebot-quart" not in jobs["http"].peers


def test_a_job_that_is_asked_for_is_measured_in_a_quick_run_too() -> None:
    _, jobs = chosen("--quick --only scaling")
    assert list(jobs) == ["scaling"]


def test_peers_loops_and_rounds_that_are_given_hold_for_every_job() -> None:
    _, jobs = chosen("--peers granian,floor --loops asyncio --rounds 7")
    assert {choice.peers for choice in jobs.values()} == {("granian", "floor")}
    assert {choice.loops for choice in jobs.values()} == {("asyncio",)}
    assert {choice.rounds for choice in jobs.values()} == {7}


def test_a_turn_is_no_longer_than_all_of_them() -> None:
    settings, _ = chosen("--seconds 0.05")
    assert settings.turn == 0.05


@pytest.mark.parametrize(
    ("text", "address"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8080", ("::1", 8080))]
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parser().parse_args(["--address", text]).address == address


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--only http,ftp", "expected names of http, websocket, large, latency, sizes, scaling,"),
        ("--peers apache", "expected names of floor, nbdriver-plain, uvicorn, uvicorn-h11,"),
        ("--rounds 0", "expected a whole number from 1, got 0"),
        ("--seconds x", "expected seconds from 0.05 to 600, got x"),
        ("--address localhost", "expected HOST:PORT, got localhost"),
        ("--address :99999", "expected HOST:PORT, got :99999"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        chosen(line)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
