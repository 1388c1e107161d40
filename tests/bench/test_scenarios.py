"""Every scenario of the bench, tiny: it works, and what is accepted is settled, once. No test looks at a speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import orjson
import psutil
import pytest

from nepxy.cli.bench import report, run
from nepxy.cli.bench.machine import describe
from nepxy.cli.bench.postgres import Server
from nepxy.cli.bench.run import SCENARIOS
from nepxy.cli.bench.scenario import Result, Row, Stage
from nepxy.cli.bench.sizes import TINY
from nepxy.cli.bench.towns import RunFailed
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with postgres.fresh_database(migrated=False) as url:
        server = Server(url)
        try:
            # A rate that any machine keeps: what is measured here is not speed.
            saturation = {"nepxy": 20.0, "floor": 20.0}
            yield Stage(
                server=server, folder=tmp_path_factory.mktemp("bench"), sizes=TINY, saturation=saturation
            )
        finally:
            server.drop_all()


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "end_to_end_500"])
async def test_a_scenario_settles_what_it_accepts_and_nothing_twice(stage: Stage, name: str) -> None:
    result = await SCENARIOS[name](stage)

    assert result.checked["accepted"] > 0
    if name != "dead_provider":
        assert result.checked["settled"] == result.checked["accepted"]
        assert result.checked["submitted_twice"] == 0
    else:
        # Of four, the dead one's wait.
        assert result.checked["settled"] >= result.checked["accepted"] * 3 // 4
    assert all(row.nepxy is not None for row in result.rows)
    assert not [one for one in psutil.Process().children() if "nepxy.cli.bench" in " ".join(one.cmdline())]


async def test_a_scenario_that_fails_takes_no_figures_of_others_along(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(stage: Stage) -> Result:
        raise RunFailed("one was sent twice")

    async def works(stage: Stage) -> Result:
        return Result(name="works", title="Works", checked={"accepted": 7})

    monkeypatch.setattr(run, "SCENARIOS", {"fails": fails, "works": works})
    with postgres.fresh_database(migrated=False) as url:
        machine, results = await run.run(
            ["fails", "works"], sizes=TINY, database_url=url, tell=lambda name, doing: None
        )
    assert [(one.name, one.failed) for one in results] == [("fails", "one was sent twice"), ("works", "")]
    assert "It failed: one was sent twice" in report.markdown("usual", machine=machine, results=results)


def test_a_report_has_the_machine_the_rows_and_the_ratios(tmp_path: Path) -> None:
    rows = [
        Row(what="settled", nepxy=700.0, floor=1000.0, unit="/s", target="ratio ≥ 0.7", met=True),
        Row(what="a <read>", nepxy=3.0, unit="ms"),
    ]
    result = Result(name="one", title="One & only", rows=rows, checked={"accepted": 7})

    files = report.write(tmp_path, "usual", machine=describe("18.4"), sizes=asdict(TINY), results=[result])

    document = orjson.loads(files[0].read_bytes())
    assert document["machine"]["postgresql"] == "18.4"
    assert {"cores", "cpu", "memory_gib", "python"} <= document["machine"].keys()
    assert [row["ratio"] for row in document["scenarios"][0]["rows"]] == [0.7, None]
    assert "| settled | 700 /s | 1,000 /s | 0.70 | ratio ≥ 0.7 met |" in files[1].read_text()
    assert ElementTree.fromstring(files[2].read_text()).tag.endswith("svg")
