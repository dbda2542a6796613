"""Reports of hand-made runs: golden files, the schema, and what each format must say.

Not covered: whether a real run's data get into `outcome.Run` (the engine's tests).
"""

from __future__ import annotations

import copy
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import json_schema
import pytest
import reports
from reports import CHAIN, RUNS

from leaktests.engine.outcome import Control, Run
from leaktests.report import as_text, data, html, junit, of, sarif, text, write
from netchain.model.chain import Role
from netchain.wire.flow import LinkType
from netchain.wire.pcap import decode_pcap, read_pcap

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads(files("leaktests.report").joinpath("schema.json").read_text(encoding="utf-8"))
FORMATS: dict[str, Callable[[Any], str]] = {
    "txt": text.render,
    "json": data.render,
    "junit.xml": junit.render,
    "sarif": sarif.render,
    "html": html.render,
}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", RUNS)
def test_golden(golden: Callable[[str, str], None], name: str, ending: str) -> None:
    golden(f"report/{name}.{ending}", FORMATS[ending](of(RUNS[name]())))


@pytest.mark.parametrize("ending", FORMATS)
def test_golden_redacted(golden: Callable[[str, str], None], ending: str) -> None:
    report = of(reports.leaking(), redact=True)
    golden(f"report/leaking-redacted.{ending}", FORMATS[ending](report))


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("name", RUNS)
def test_the_document_follows_its_schema(name: str, redact: bool) -> None:
    document = json.loads(data.render(of(RUNS[name](), redact=redact)))
    assert json_schema.problems(document, SCHEMA, SCHEMA) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "fine"),
        (("seed",), True),
        (("leaks", 0, "count"), 0),
        (("leaks", 0, "frame"), "0g"),
        (("taps", 0, "more"), 1),
        (("probes", 0, "leaked"), {"isp": "1"}),
        (("control",), {"ok": True}),
    ],
)
def test_the_schema_refuses(path: tuple[Any, ...], value: object) -> None:
    document = copy.deepcopy(data.document(of(reports.leaking())))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert json_schema.problems(document, SCHEMA, SCHEMA)


def test_every_key_of_the_schema_is_documented() -> None:
    told = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    keys = {key for part in objects for key in part.get("properties", {})}
    assert {key for key in keys if f"`{key}`" not in told} == set()


@pytest.mark.parametrize("name", RUNS)
def test_text_fits_a_terminal_and_says_the_verdict_first(name: str) -> None:
    report = of(RUNS[name]())
    lines = text.render(report).splitlines()
    assert max(map(len, lines)) <= text.WIDTH
    assert report.verdict.upper() in lines[0].upper()
    assert lines[-1].startswith("next ")
    assert "--seed 7" in lines[-2]


def test_leaks_come_with_where_when_and_how_many() -> None:
    shown = text.render(of(reports.leaking()))
    assert "P05 a DNS question over UDP, vpn-down" in shown
    assert "isp up: UDP 100.64.0.2:20005 → 192.0.2.1:53" in shown
    assert "12 packets in 11.0 ms, from 1204.0 ms on" in shown


def test_the_cause_is_the_last_drop_of_the_sender() -> None:
    causes = {leak.id: leak.cause for leak in of(reports.leaking()).leaks}
    for cause in causes.values():
        line = (ROOT / cause.file).read_text().splitlines()[cause.line - 1]
        assert line.strip().startswith("counter drop")
        assert cause.why in line
    assert causes["leak-1"].file == "firewall_rules/vpn-proxy.nft"
    assert causes["leak-1"].why == "every other pair, above all downstream to uplink"


def test_every_role_has_both_drops() -> None:
    from leaktests.report import rules

    for role in Role:
        for name in ("forward", "output"):
            assert rules.last_drop(rules.read()[role], name)[1], (role, name)


def _cases(run: Run) -> dict[str, list[str]]:
    root = ElementTree.fromstring(junit.render(of(run)))
    for suite in (root, *root):
        cases = list(suite.iter("testcase"))
        assert suite.get("tests") == str(len(cases))
        for attribute, kind in (("failures", "failure"), ("errors", "error")):
            assert suite.get(attribute) == str(sum(c.find(kind) is not None for c in cases))
    return {
        f"{case.get('classname')}: {case.get('name')}": [
            child.tag for child in case
        ]
        for case in root.iter("testcase")
    }  # fmt: skip


def test_junit_fails_what_leaked_only() -> None:
    cases = _cases(reports.leaking())
    failed = {name for name, tags in cases.items() if tags == ["failure"]}
    assert failed == {
        "netchain.vpn-down: P05 a DNS question over UDP",
        "netchain.vpn-down: packets that no probe sent",
        "netchain.trials: V01 wireguard-go is killed",
    }
    assert cases["netchain.run: H07 WebRTC finds the address"] == ["skipped"]
    assert cases["netchain.ready: P01 an ICMP echo request"] == []


def test_junit_has_no_passed_probe_when_a_tap_is_deaf() -> None:
    cases = _cases(reports.inconclusive())
    assert all(tags for name, tags in cases.items() if " P" in name or " V" in name)


def test_a_run_of_nothing_is_an_error() -> None:
    run = Run(CHAIN, 1, reports.STARTED, 0.1, "netchain leaktest vpn-before-tor")
    assert ["error"] in _cases(run).values()
    report = of(run)
    assert report.verdict == "inconclusive"
    assert not any(tap.heard for tap in report.taps)
    for render in FORMATS.values():
        assert render(report)


def test_a_control_that_misses_a_probe_makes_that_probe_inconclusive() -> None:
    run = replace(reports.clean(), control=Control(2, ("P14 a TCP SYN",)))
    verdicts = {(row.id, row.verdict) for row in of(run).probes}
    assert verdicts == {("P01", "clean"), ("P05", "clean"), ("P14", "inconclusive")}


def test_states_that_come_again_are_told_apart() -> None:
    run = replace(reports.clean(), sweeps=(reports.sweep("ready"), reports.sweep("ready")))
    assert [row.state for row in of(run).sweeps] == ["ready", "ready (2)"]


def test_sarif_has_what_2_1_0_requires() -> None:
    document = json.loads(sarif.render(of(reports.leaking())))
    assert document["version"] == "2.1.0"
    run = document["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert len(run["results"]) == len(of(reports.leaking()).leaks)
    for result in run["results"]:
        assert result["level"] == "error"
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert (ROOT / place["artifactLocation"]["uri"]).is_file()
        assert place["region"]["startLine"] > 1


def test_sarif_warns_of_what_is_inconclusive() -> None:
    run = json.loads(sarif.render(of(reports.inconclusive())))["runs"][0]
    assert [result["level"] for result in run["results"]] == ["warning"] * 5
    assert run["invocations"][0]["executionSuccessful"] is False


def test_the_pages_captures_hold_the_packets() -> None:
    report = of(reports.leaking())
    found = re.findall(r"base64,([A-Za-z0-9+/=]+)'", html.render(report))
    assert len(found) == len(report.leaks)
    for encoded, leak in zip(found, report.leaks, strict=True):
        link_type, records = decode_pcap(b64decode(encoded))
        inside = leak.link.endswith("--tunnel")
        assert link_type is (LinkType.RAW_IP if inside else LinkType.ETHERNET)
        assert [record.frame for record in records] == [p.frame for p in leak.packets]


NASTY = "<script>alert(1)</script>\x1b[31m\x00&'\"]]>"


@pytest.mark.parametrize("ending", FORMATS)
def test_nothing_in_a_run_can_be_obeyed(ending: str) -> None:
    run = replace(
        reports.inconclusive(), doubts=(NASTY,), conditions={NASTY: NASTY}, command=NASTY,
        skipped=((NASTY, NASTY),),
    )  # fmt: skip
    shown = FORMATS[ending](of(run))
    assert "\x1b" not in shown and "\x00" not in shown
    if ending == "html":
        assert "<script" not in shown
    if ending == "junit.xml":
        ElementTree.fromstring(shown)


def test_the_page_loads_nothing() -> None:
    page = html.render(of(reports.leaking()))
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not re.search(r"https?://|<script|<img|<link|url\(|@import|\ssrc=", page)


def test_write_gives_private_files(tmp_path: Path) -> None:
    names = {"json_file": "r.json", "junit_file": "r.xml", "sarif_file": "r.sarif"}
    paths = {key: tmp_path / name for key, name in names.items()}
    write(reports.leaking(), **paths, html_file=tmp_path / "r.html", pcap_dir=tmp_path / "pcap")
    assert as_text(reports.leaking()).startswith("✗ LEAK")
    for path in (*paths.values(), tmp_path / "r.html", tmp_path / "pcap" / "isp.pcap"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_pcap(tmp_path / "pcap" / "isp.pcap")[1]) == 15
    assert read_pcap(tmp_path / "pcap" / "sys-proxyvm--tunnel.pcap")[0] is LinkType.RAW_IP


def test_write_leaves_captures_out_when_redacted(tmp_path: Path) -> None:
    write(reports.leaking(), pcap_dir=tmp_path / "pcap", redact=True)
    assert not (tmp_path / "pcap").exists()


def test_write_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        write(reports.clean(), json_file=tmp_path / "nowhere" / "r.json")
    assert caught.value.filename == str(tmp_path / "nowhere" / "r.json")


def test_a_link_is_written_through_not_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(real)
    write(reports.clean(), json_file=link)
    assert link.is_symlink()
    assert json.loads(real.read_text())["verdict"] == "clean"
