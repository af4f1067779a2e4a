"""`doctor` for Bybit, against the simulated server."""

import asyncio
from dataclasses import replace

from tests.venues.bybit.bybit_scenery import play

from undertow.monitor.bybit_probes import probe_bybit
from undertow.monitor.probes import Finding, Status
from undertow.venues.bybit.endpoints import TopicKind, endpoints_for
from undertow.venues.simulated_bybit.server import BybitServer


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_server_that_is_fit() -> None:
    async def scene(server: BybitServer) -> None:
        kinds = {
            name: kind
            for name, kind in endpoints_for("sim-bybit", server.url).streams.items()
            if name in ("trades", "depth", "ticker", "mark")
        }
        endpoints = replace(endpoints_for("sim-bybit", server.url), streams=kinds)
        findings = by_name(await probe_bybit(endpoints, 10.0))
        assert {name: finding.status for name, finding in findings.items()} == {
            "REST": Status.OK,
            "clock": Status.OK,
            "route public": Status.OK,
        }, findings
        assert "depth after" in findings["route public"].found

    play(scene, speed=5.0, duration_s=60.0)


def test_a_topic_that_is_refused_is_named() -> None:
    async def scene(server: BybitServer) -> None:
        endpoints = endpoints_for("sim-bybit", server.url)
        wrong = {**endpoints.streams, "depth": TopicKind("orderbuch.{depth}.{symbol}", "public", 1.0)}
        found = by_name(await probe_bybit(replace(endpoints, streams=wrong), 5.0))["route public"]
        assert found.status is Status.FAIL
        assert "refused" in found.found
        assert "venues/bybit/endpoints.py" in found.advice

    play(scene, speed=5.0, duration_s=60.0)


def test_nobody_there() -> None:
    found = asyncio.run(probe_bybit(endpoints_for("sim-bybit", "http://127.0.0.1:9"), 0.5))
    assert [finding.name for finding in found] == ["REST", "route public"]
    assert all(finding.status is Status.FAIL and "curl" in finding.advice for finding in found)
