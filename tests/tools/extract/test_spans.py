"""What whole videos show and when: tables and ELAN files, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Annotation
from last_edge.tools.extract.plan import Settings, as_frames, plan_jobs, read_spans

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="ts4"/>
  </TIME_ORDER>
  <TIER TIER_ID="gesture">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>wave</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="{last}">
      <ANNOTATION_VALUE>point</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="gloss">{more}</TIER>
</ANNOTATION_DOCUMENT>
"""
MORE = """<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
  <ANNOTATION_VALUE>HELLO</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"""


def elan(folder: Path, *, last: str = "ts3", more: str = "") -> Path:
    (folder / "eaf" / "a").mkdir(parents=True, exist_ok=True)
    (folder / "eaf" / "a" / "one.eaf").write_text(ELAN.format(last=last, more=more))
    return folder / "eaf"


def test_elan_files_say_what_the_video_of_their_name_shows(tmp_path: Path) -> None:
    found = read_spans(elan(tmp_path))
    assert {name: shown.spans for name, shown in found.items()} == {"a/one": [("wave", 0.5, 1.5), ("point", 1.5, 2.0)]}


def test_several_tiers_need_a_choice(tmp_path: Path) -> None:
    folder = elan(tmp_path, more=MORE)
    with pytest.raises(UsageError, match="which tier"):
        read_spans(folder)
    assert read_spans(folder, tier="gloss")["a/one"].spans == [("HELLO", 0.5, 2.0)]
    with pytest.raises(UsageError, match="no such tier"):
        read_spans(folder, tier="hands")


def test_what_is_no_annotation_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a span of time") as caught:
        read_spans(elan(tmp_path, last="ts4"))
    assert "one.eaf" in str(caught.value) and "point" in str(caught.value)
    (tmp_path / "eaf/a/one.eaf").write_text("<ANNOTATION_DOCUMENT>")
    with pytest.raises(InputError, match="not an ELAN file"):
        read_spans(tmp_path / "eaf")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no ELAN file"):
        read_spans(tmp_path / "none")


def test_whole_videos_become_recordings_of_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("one.mp4", "two.mp4", "three.mp4"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(b"")
    table = tmp_path / "spans.csv"
    table.write_text("file,label,start,end,subject\none.mp4,wave,1,2.5,ann\none.mp4,point,3,4,ann\ntwo.mp4,,,,bob\n")
    jobs = plan_jobs(tmp_path / "videos", tmp_path / "out", Settings(), spans=table)
    assert [(job.name, job.subject, job.label) for job in jobs] == [("one.mp4", "ann", None), ("two.mp4", "bob", None)]
    assert jobs[0].spans == (("wave", 1.0, 2.5), ("point", 3.0, 4.0)) and jobs[1].spans == ()
    assert "three" in caplog.text, "told that it has no annotations"
    table.write_text("file,label,start,end\none.mp4,wave,2,1\n")
    with pytest.raises(InputError, match="not a span of time"):
        plan_jobs(tmp_path / "videos", tmp_path / "out", Settings(), spans=table)
    with pytest.raises(UsageError, match="--spans"):
        plan_jobs(tmp_path / "videos", tmp_path / "out", Settings(), spans=table, folders="label")


def test_seconds_become_frames_within_the_recording() -> None:
    spans = (("b", 1.0, 9.0), ("a", 0.5, 1.0))
    assert as_frames(spans, fps=30, frames=100, where="v") == (Annotation("a", 15, 29), Annotation("b", 30, 99))
    with pytest.raises(InputError, match="outside its video"):
        as_frames((("a", 4.0, 5.0),), fps=30, frames=100, where="v")
    with pytest.raises(InputError, match="within another"):
        as_frames((("a", 1.0, 3.0), ("b", 1.5, 2.5)), fps=30, frames=100, where="v")
