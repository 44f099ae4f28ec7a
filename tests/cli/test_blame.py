"""An error on the command line names the option, the value that came and what was expected."""

from __future__ import annotations

import pytest

from tests.cli.samples import COLUMNS, write_events

#: Command, bad words, and what has to be in the message.
BAD = [
    ("evaluate", "--warmup 1.5", "--warmup 1.5: expected a share"),
    ("evaluate", "--warmup much", "'--warmup' number got 'much'"),
    ("evaluate", "--batch=0", "'--batch' greater got '0'"),
    ("evaluate", "--k 0", "'--k' greater got '0'"),
    ("evaluate", "--limit -3", "'--limit' greater got '-3'"),
    ("evaluate", "--historical 10", "--historical 10: no model add --set use_historical=true"),
    ("evaluate", "--models defualt", "--models defualt: unknown did you mean 'default'?"),
    ("evaluate", "--set rnig_length=3", "--set rnig_length=3: unknown setting did you mean 'ring_length'?"),
    ("evaluate", "--set ring_length=99999", "--set ring_length=99999: setting less than or equal to"),
    ("evaluate", "--settings none.yaml", "--settings none.yaml: cannot be read"),
    ("evaluate", "--value prize", "--value prize: events.csv: no column 'prize' did you mean 'price'?"),
    ("evaluate", "--kind sort", "--kind sort: events.csv: no column 'sort'"),
    ("evaluate", "--event-id nr", "--event-id nr: no column 'nr'"),
    ("evaluate", "--time-unit min", "--time-unit min: expected one of s, ms, us, ns"),
    ("evaluate", "--time-format %Q", "--time-format %Q: expected the signs of strptime"),
    ("evaluate", "--timezone Mars", "--timezone Mars: expected an IANA name"),
    ("evaluate", "--default-kind gaze", "--default-kind gaze: the kinds are view, click"),
    ("evaluate", "--encoding utf-9", "--encoding utf-9: try utf-8"),
    ("evaluate", "--items none.csv --item-text title", "--items none.csv: no such file"),
    ("run", "--speed fast", "--speed 'fast': expected max, or times"),
    ("run", "--nearline history=eese", "--nearline history=eese: did you mean 'ease'?"),
    ("run", "--nearline histroy=ease", "--nearline histroy=ease: did you mean 'history'?"),
    ("run", "--nearline history=ease:ridge=a", "--nearline history=ease:ridge=a: expected a number"),
    ("run", "--shards 0", "'--shards' greater got '0'"),
    ("evaluate-offline", "--split weekly", "--split weekly: unknown there are time"),
    ("evaluate-offline", "--test-share 2", "--test-share 2: expected a share between 0 and 1"),
    ("evaluate-offline", "--baseline best", "--baseline best: expected a model of --models"),
    ("tune", "--trials 1", "'--trials' greater got '1'"),
    ("tune", "--space widht", "--space widht: unknown setting"),
    ("tune", "--pruner half", "--pruner half: expected one of halving, none"),
    ("tune", "--holdout 1", "--holdout 1: expected a share between 0 and 1"),
    ("tune", "--metric f1", "--metric f1: expected one of hr@10"),
]


@pytest.mark.parametrize(("command", "words", "said"), BAD, ids=lambda each: str(each)[:40])
def test_a_bad_value_is_named_with_its_option(rtrec, tmp_path, monkeypatch, command, words, said):
    monkeypatch.chdir(tmp_path)
    given = words.split()
    columns = COLUMNS[:6] if "--min-value" in given else COLUMNS
    if given[0] in COLUMNS:
        columns = COLUMNS[:6]
    result = rtrec(command, write_events(tmp_path / "events.csv", 30), *columns, *given)
    assert result.exit_code == 2
    message = " ".join(result.stderr.replace("│", " ").split())
    for word in said.split(" "):
        assert word in message, message


def test_values_of_jobs_and_data_sets_are_named_too(rtrec):
    for words, said in (
        (("jobs", "run", "evaluate", "--every", "1x"), "--every 1x: interval"),
        (("jobs", "run", "refit", "--slot", "foo"), "--slot foo: no slot"),
        (("jobs", "run", "refit", "--model", "eese"), "--model eese: no fitted model"),
        (("jobs", "run", "evaluate", "--models", "eese"), "--models eese: unknown model"),
        (("evaluate", "--dataset", "movielens"), "--dataset movielens: unknown data set"),
    ):
        result = rtrec(*words)
        assert result.exit_code == 2
        assert said in result.stderr
