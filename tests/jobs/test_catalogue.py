"""The jobs by name."""

from __future__ import annotations

import pytest

from rtrec.errors import InputError
from rtrec.jobs.catalogue import JOBS, get_job


def test_every_job_says_in_one_line_what_it_does():
    assert all(job.sentence and "\n" not in job.sentence for job in JOBS.values())


def test_a_misspelt_job_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown job 'evalute'; did you mean 'evaluate'\?"):
        get_job("evalute")
