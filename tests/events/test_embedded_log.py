"""What the log in SQLite and Parquet withstands: kills, flipped bytes, torn files, other processes."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtrec.errors import CorruptionError, DeploymentError
from rtrec.events import history, journaled_log, recorded_log, records
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.letters import DeadLetter
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.files import UNFINISHED
from tests.events.log_writer import assert_nothing_confirmed_is_missing

ROOT = Path(__file__).resolve().parents[2]


def events(*numbers: int) -> pa.Table:
    """Return an event for each number; its number is all that distinguishes it."""
    n = len(numbers)
    columns = [[f"e{number}" for number in numbers], ["u"] * n, ["i"] * n]
    times = [datetime.fromtimestamp(number, UTC) for number in numbers]
    return pa.table([*columns, times, ["view"] * n, [None] * n, [None] * n], schema=EVENT_SCHEMA)


def event_ids(log: EmbeddedLog, partition: int = 0, start: int = 0) -> list[str]:
    return log.read(partition, start).column("event_id").to_pylist()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log" / "events.sqlite"


@pytest.fixture
def log(path):
    log = EmbeddedLog(path, partitions=1)
    yield log
    log.close()


# ------------------------------------------------------------------------------------------------- opening


def test_the_number_of_partitions_is_fixed_for_life(path):
    EmbeddedLog(path, partitions=3).close()

    assert EmbeddedLog(path).partitions == 3
    with pytest.raises(DeploymentError, match="expected 2 partitions, it was created with 3"):
        EmbeddedLog(path, partitions=2)


@pytest.mark.parametrize("mode", ["write", "read"])
def test_a_log_that_is_not_there_is_not_made_up(path, mode):
    with pytest.raises(DeploymentError, match=r"events\.sqlite: no such file"):
        EmbeddedLog(path, mode=mode)
    assert not path.exists()


def test_a_log_whose_creation_was_cut_short_can_be_created(path):
    path.parent.mkdir()
    path.touch()

    with pytest.raises(DeploymentError, match="it is empty"):
        EmbeddedLog(path)
    assert EmbeddedLog(path, partitions=2).ends() == (0, 0)


def test_a_database_of_another_program_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()

    content = path.read_bytes()

    with pytest.raises(DeploymentError, match="is no rtrec log"):
        EmbeddedLog(path, partitions=1)

    assert path.read_bytes() == content


def test_a_file_that_is_no_database_is_named(path):
    path.parent.mkdir()
    path.write_text("event_id,user_id\n" * 1000)

    with pytest.raises(CorruptionError, match=r"events\.sqlite: damaged: file is not a database"):
        EmbeddedLog(path, partitions=1)


def test_a_log_of_a_later_format_is_refused(path, monkeypatch):
    monkeypatch.setattr(journaled_log, "FORMAT_VERSION", 3)
    EmbeddedLog(path, partitions=1).close()
    monkeypatch.undo()

    with pytest.raises(DeploymentError, match="expected format version 2, got 3"):
        EmbeddedLog(path)


# --------------------------------------------------------------------------------- threads and processes


def test_appends_from_many_threads_are_dense_and_complete(log):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.append([events(number)]), range(100)))

    assert log.ends() == (100,)
    assert sorted(event_ids(log)) == sorted(f"e{number}" for number in range(100))


def test_another_process_reads_while_this_one_writes(path, log):
    log.append([events(0, 1)])
    log.compact((2,), log.cut((2,), 0).seq)
    log.append([events(2)])

    assert run(READER, path).stdout.split() == ["(3,)", "e0", "e1", "e2"]
    log.append([events(3)])
    assert event_ids(log) == ["e0", "e1", "e2", "e3"]


def test_another_process_may_join_and_write_a_control(path, log):
    """Neither sees the file otherwise than the other, and what either wrote stays."""
    log.append([events(0)])
    assert run(JOINER, path).stdout.split() == ["0", "1"]
    log.append([events(1)])
    assert log.append_control({"control": "mine"}).offset == 2
    assert [each.body["control"] for each in log.controls()] == ["theirs", "theirs", "mine"]
    assert event_ids(log) == ["e0", "e1"]
    with pytest.raises(DeploymentError, match="no such file"):
        EmbeddedLog(path.with_name("other.sqlite"), mode="join")


def test_an_open_reader_sees_later_appends_but_cannot_write(path, log):
    reader = EmbeddedLog(path, mode="read")

    log.append([events(0)])

    assert event_ids(reader) == ["e0"]
    with pytest.raises(DeploymentError, match="opened with mode='read'"):
        reader.append([events(1)])
    reader.close()


def test_a_reader_opens_what_a_closed_writer_left(path):
    log = EmbeddedLog(path, partitions=1)
    log.append([events(0)])
    log.close()
    assert not path.with_name("events.sqlite-wal").exists(), "all is in the one file after a clean close"

    reader = EmbeddedLog(path, mode="read")

    assert event_ids(reader) == ["e0"]
    reader.close()


def test_a_full_disk_loses_nothing_and_can_be_overcome(log):
    log.append([events(0)], source="f", position=1)
    writer = log._database._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(DeploymentError, match="disk is full"):
        log.append([events(*range(1, 5000))], source="f", position=5000)
    assert log.ends() == (1,)
    assert log.position("f") == 1

    writer.execute("PRAGMA max_page_count = 100000")
    log.append([events(1)], source="f", position=2)
    assert event_ids(log) == ["e0", "e1"]


# ------------------------------------------------------------------------------------------------- kills

READER = """
import sys
from pathlib import Path
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.letters import DeadLetter

log = EmbeddedLog(Path(sys.argv[1]), mode="read")
print(str(log.ends()).replace(" ", ""), *log.read(0, 0).column("event_id").to_pylist())
"""

JOINER = """
import sys
from pathlib import Path
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.letters import DeadLetter

log = EmbeddedLog(Path(sys.argv[1]), mode="join")
print(*(log.append_control({"control": "theirs"}).offset for _ in range(2)))
log.close()
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True, timeout=60
    )


def test_a_writer_killed_at_random_moments_loses_nothing_it_confirmed(path):
    """Six lives of one log, each ended by SIGKILL after some confirmed appends, cuts and compactions."""
    rng = np.random.default_rng(5)
    writer = [sys.executable, "-m", "tests.events.log_writer", str(path)]
    for _ in range(6):
        with subprocess.Popen(writer, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            confirmed = [int(next(process.stdout)) for _ in range(rng.integers(1, 40))][-1]
            process.send_signal(signal.SIGKILL)
            confirmed = max([confirmed, *(int(line) for line in process.stdout if line.endswith("\n"))])
        assert_nothing_confirmed_is_missing(path, confirmed)
    assert len(log_history(path)) > 3, "the writer never lived to compact"


def log_history(path: Path) -> list[Path]:
    return sorted(path.parent.glob("history/partition-*/0*.parquet"))


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (history, "make_folder"),
        (history, "publish_file"),
        (history, "blake2b"),
        (history, "insert_history"),
        (records, "delete_rows"),
    ],
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_compaction_cut_short_at_any_step_can_be_done_again(path, monkeypatch, module, step, moment):
    log = EmbeddedLog(path, partitions=1)
    log.append([events(0, 1, 2)])
    log.append([events(3, 4)])
    log.cut((5,), 0)
    whole = getattr(module, step)

    def cut_short(*arguments, **options):
        if moment == "after":
            whole(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, cut_short)
    with pytest.raises(KeyboardInterrupt):
        log.compact((5,), 1)
    monkeypatch.undo()
    log.close()

    log = EmbeddedLog(path)
    assert event_ids(log) == ["e0", "e1", "e2", "e3", "e4"]
    log.compact((3,), 1)

    assert event_ids(log) == ["e0", "e1", "e2", "e3", "e4"]
    (file,) = log.history()
    assert (file.first, file.last) == (0, 2)
    assert log_history(path) == [file.path], "the stray file of the first try is gone"
    log.close()


def test_half_a_history_file_is_removed(path, log):
    log.append([events(0, 1)])
    folder = path.parent / "history" / "partition-0"
    folder.mkdir(parents=True)
    (folder / f"{UNFINISHED}000000000000-000000000001.parquet").write_bytes(b"PAR1 and no more")

    log.compact((2,), log.cut((2,), 0).seq)

    assert [each.name for each in folder.iterdir()] == ["000000000000-000000000001.parquet"]


# ------------------------------------------------------------------------------------------------- history


def test_a_record_of_an_unknown_kind_is_refused_by_name():
    stared = events(0, 1).set_column(4, EVENT_SCHEMA.field("kind"), pa.array(["view", "stare"]))
    with pytest.raises(ValueError, match="partition 3: unknown kind 'stare'; the kinds are view, click"):
        records.encode(3, stared)


def test_history_is_plain_parquet_in_files_of_bounded_size(path, log, monkeypatch):
    monkeypatch.setattr(recorded_log, "_HISTORY_FILE_EVENTS", 4)
    for first in range(0, 12, 3):
        log.append([events(first, first + 1, first + 2)])

    written = log.compact((11,), log.cut((12,), 0).seq)

    # Whole records of three events: a file takes them until it has four or more; 9 to 11 go beyond 11.
    assert [each.stem for each in written] == ["000000000000-000000000005", "000000000006-000000000008"]
    table = pa.concat_tables(pq.read_table(each) for each in written)
    assert table.column("event_id").to_pylist() == [f"e{number}" for number in range(9)]
    assert table.schema.equals(EVENT_SCHEMA)
    assert event_ids(log) == [f"e{number}" for number in range(12)]


def test_a_range_inside_a_long_history_file_reads_only_what_it_needs(log):
    numbers = range(20_000)
    log.append([events(*numbers)])
    log.compact((20_000,), log.cut((20_000,), 0).seq)

    for start, stop in [(0, 1), (8_191, 8_193), (8_192, 16_384), (19_999, 20_000), (5, 19_995)]:
        expected = [f"e{number}" for number in numbers[start:stop]]
        assert log.read(0, start, stop).column("event_id").to_pylist() == expected


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_damaged_history_file_is_named(path, log, harm):
    log.append([events(*range(50))])
    (file,) = log.compact((50,), log.cut((50,), 0).seq)
    content = file.read_bytes()
    if harm == "flip":
        file.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    elif harm == "truncate":
        file.write_bytes(content[:-1])
    else:
        file.unlink()

    with pytest.raises(CorruptionError, match=re.escape(str(file))):
        log.read(0, 0)


def test_a_history_file_damaged_after_it_was_verified_is_named(log):
    log.append([events(*range(50))])
    (file,) = log.compact((50,), log.cut((50,), 0).seq)
    log.read(0, 0)
    content = file.read_bytes()
    file.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])

    with pytest.raises(CorruptionError, match=re.escape(str(file))):
        log.read(0, 0)


# ------------------------------------------------------------------------------------------------- damage


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE records SET body = zeroblob(9) WHERE first = 2",
            "partition 0, offset 2: the record does not match",
        ),
        ("UPDATE records SET n = 1 WHERE first = 2", "partition 0, offset 2: the record does not match"),
        (
            "UPDATE records SET body = 'text' WHERE first = 2",
            "partition 0, offset 2: the record does not match",
        ),
        ("DELETE FROM records WHERE first = 0", "partition 0, offset 0: no record holds it"),
        ("DELETE FROM records WHERE first = 2", "partition 0, offset 2: no record holds it"),
        ("DELETE FROM records WHERE first = 4", "partition 0, offset 4: no record holds it"),
        ("DELETE FROM cuts WHERE id = 1", "cut 1 is missing"),
        ("DELETE FROM cuts WHERE id = 2", "cut 2 is missing"),
        ("UPDATE cuts SET ends = '[1]' WHERE id = 1", r"row \(1, '\[1\]', 0\) does not match its checksum"),
        ("DELETE FROM controls", "control 0 is missing"),
        ("UPDATE controls SET body = '{}'", "does not match its checksum"),
        ("DELETE FROM head", "its head is missing"),
        ("UPDATE head SET body = replace(body, '6', '5')", "does not match its checksum"),
        ("DROP TABLE cuts", "no such table: cuts"),
    ],
)
def test_damage_names_file_and_place(path, statement, message):
    """Fails if a seal covers nothing or is not compared, or a gap in the offsets is read over."""
    log = EmbeddedLog(path, partitions=1)
    for first in (0, 2, 4):
        log.append([events(first, first + 1)])
    log.append_control({"control": "settings", "changes": {"ring_length": 20}})
    log.cut((2,), 0)
    log.cut((6,), 1)
    log.close()
    tamper(path, statement)

    with pytest.raises(CorruptionError, match=f"events.sqlite.*{message}"):
        everything(path)


def everything(path: Path) -> list[object]:
    """Open a log and read all that a restart relies on."""
    log = EmbeddedLog(path)
    try:
        return [
            log.ends(),
            event_ids(log),
            log.cuts(),
            log.controls(),
            log.position("f"),
            log.cleaning_counts("f"),
        ]
    finally:
        log.close()


def fill(log: EmbeddedLog, n: int) -> list[list[object]]:
    """Append ``n`` times; return what a restart should find before and after each."""
    states: list[list[object]] = []

    def remember() -> None:
        states.append(
            [
                log.ends(),
                event_ids(log),
                log.cuts(),
                log.controls(),
                log.position("f"),
                log.cleaning_counts("f"),
            ]
        )

    remember()
    for number in range(n):
        log.append(
            [events(2 * number, 2 * number + 1)], source="f", position=number, counts={"accepted": number}
        )
        remember()
        log.cut(log.ends(), number)
        remember()
        log.append_control({"control": "settings", "changes": {"ring_length": number + 1}})
        remember()
    return states


def test_no_byte_flipped_in_the_file_changes_what_is_read(path):
    log = EmbeddedLog(path, partitions=1)
    expected = fill(log, 8)[-1]
    log.close()
    original = path.read_bytes()
    rng = np.random.default_rng(11)
    outcomes = []

    for place in [*range(0, 100, 3), *rng.integers(0, len(original), 400)]:
        path.write_bytes(
            original[:place] + bytes([original[place] ^ (1 << rng.integers(8))]) + original[place + 1 :]
        )
        try:
            outcomes.append("same" if everything(path) == expected else f"byte {place} changed what was read")
        except (CorruptionError, DeploymentError) as error:
            outcomes.append("noticed" if "events.sqlite" in str(error) else f"byte {place}: {error}")
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)

    assert set(outcomes) == {"same", "noticed"}


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "without power"])
def test_no_byte_flipped_in_the_write_ahead_log_loses_more_than_the_last_transaction(path, tmp_path, killed):
    """SQLite alone would drop all that follows the flipped byte; after a kill not even that much is lost."""
    log = EmbeddedLog(path, partitions=1)
    states = fill(log, 6)
    copy = tmp_path / "copy"
    copy.mkdir()
    main, wal, shm = (copy / f"events.sqlite{end}" for end in ("", "-wal", "-shm"))
    originals = [path.with_name(each.name).read_bytes() for each in (main, wal, shm)]
    log.close()
    rng = np.random.default_rng(12)
    n_noticed = 0

    for place in [
        *range(32),
        *rng.integers(0, len(originals[1]), 200),
        *range(len(originals[1]) - 40, len(originals[1])),
    ]:
        shutil.rmtree(copy)
        copy.mkdir()
        main.write_bytes(originals[0])
        wal.write_bytes(originals[1][:place] + bytes([originals[1][place] ^ 1]) + originals[1][place + 1 :])
        if killed:
            shm.write_bytes(originals[2])
        try:
            assert everything(main) in states[-1 if killed else -2 :], f"byte {place} changed what was read"
        except CorruptionError as error:
            assert "events.sqlite-wal" in str(error)  # noqa: PT017
            n_noticed += 1

    assert n_noticed > (190 if killed else 150)


def test_a_torn_write_ahead_log_ends_at_a_transaction(path, tmp_path):
    log = EmbeddedLog(path, partitions=1)
    states = fill(log, 4)
    originals = path.read_bytes(), path.with_name("events.sqlite-wal").read_bytes()
    log.close()
    found = []

    for number, size in enumerate(range(len(originals[1]), 40_000, -1500)):
        copy = tmp_path / str(number) / "events.sqlite"
        copy.parent.mkdir()
        copy.write_bytes(originals[0])
        copy.with_name("events.sqlite-wal").write_bytes(originals[1][:size])
        found.append(states.index(everything(copy)))

    assert found[0] == len(states) - 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(found))


def test_what_is_told_to_be_there_and_is_not_was_cut_off(path, tmp_path):
    """A process that is killed leaves behind how much it confirmed; if the power fails that may be older."""
    log = EmbeddedLog(path, partitions=1)
    before = fill(log, 2)[-1]
    older = path.with_name("events.sqlite-shm").read_bytes()
    log.append_control({"control": "settings", "changes": {"ring_length": 9}})
    after = [*before[:3], log.controls(), *before[4:]]
    main, wal, newest = (path.with_name(f"events.sqlite{end}").read_bytes() for end in ("", "-wal", "-shm"))
    log.close()

    def opened(name: str, wal: bytes, shm: bytes) -> list[object]:
        copy = tmp_path / name / "events.sqlite"
        copy.parent.mkdir()
        for end, content in (("", main), ("-wal", wal), ("-shm", shm)):
            copy.with_name(f"events.sqlite{end}").write_bytes(content)
        return everything(copy)

    assert opened("whole", wal, newest) == after
    assert opened("older", wal, older) == after
    assert opened("torn", wal[:-100], older) == before  # as a failure of the power leaves it
    for number, index in enumerate((b"", newest[:60], newest[:20] + b"?" + newest[21:], bytes(200))):
        assert opened(f"says nothing {number}", wal[:-100], index) == before
    for size in (len(wal) - 1, len(wal) - 5000, 32):
        with pytest.raises(
            CorruptionError, match=r"log .*events\.sqlite-wal: frame \d+ .*is damaged, and con.*-shm"
        ):
            opened(f"cut off {size}", wal[:size], newest)


# ---------------------------------------------------------------------------------------------- old formats


@pytest.fixture
def old(path):
    """A log that version 1 of the format wrote: two events, two dead letters, a control, a cut."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(Path(__file__).with_name("log_format_1.sql").read_text(encoding="utf-8"))
    connection.execute("PRAGMA application_id = 1381257795")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return path


@pytest.mark.parametrize("mode", ["write", "read", "join"])
def test_a_log_of_the_first_format_is_read_as_it_was(old, mode):
    log = EmbeddedLog(old, mode=mode)
    assert log.read(0, 0).column("user_id").to_pylist() == ["anna", "ben"]
    assert (log.position("shop.csv"), log.watermark("shop.csv"), len(log.cuts())) == (4, {}, 1)
    assert log.cleaning_counts("shop.csv") == {"accepted": 2, "missing user": 1, "unparsable time": 1}
    letters = log.dead_letters()
    assert [(each.row, each.reason, each.kept, each.detail) for each in letters] == [
        (2, "missing user", "part", ""),
        (4, "unparsable time", "part", ""),
    ]
    assert letters[0].payload == '{"user": null, "item": "7", "time": "2024-05-01"}'
    log.close()
    assert EmbeddedLog(old, mode="read").dead_letters() == letters


def test_a_log_of_the_first_format_is_gone_on_with(old):
    log = EmbeddedLog(old)
    letter = DeadLetter("shop.csv", 5, "late", "time", "x" * 5000, "line", "3 days too late")
    log.append([events(7)], source="shop.csv", position=6, watermark={"highest_us": 7}, dead_letters=[letter])
    log.close()
    log = EmbeddedLog(old)
    assert log.ends() == (3,)
    assert log.watermark("shop.csv") == {"highest_us": 7}
    kept = log.dead_letters()[-1]
    assert (kept.reason, kept.payload, kept.kept, kept.detail) == ("late", "x" * 5000, "line", letter.detail)
    log.close()
