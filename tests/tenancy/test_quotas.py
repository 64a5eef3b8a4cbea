"""Claims about the limits file."""

import pytest

from cumulet.tenancy.quotas import Quota, QuotaError, read_quotas


def test_an_account_has_the_default_and_what_is_written_for_it():
    quotas = read_quotas(
        """
        [default]
        concurrency = 50
        [accounts.111122223333]
        weight = 4
        requests_per_s = 2.5
        """
    )
    assert quotas.of("000000000000") == Quota(concurrency=50)
    assert quotas.of("111122223333") == Quota(concurrency=50, weight=4.0, requests_per_s=2.5)


def test_an_empty_file_changes_nothing():
    base = Quota(concurrency=7)
    assert read_quotas("", base).of("1") == base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurrency = 1", "default and accounts"),
        ("[default]\nspeed = 1", "default.speed: no such limit"),
        ("[default]\nconcurrency = -1", "default.concurrency: must be from 0"),
        ("[default]\nconcurrency = 1.5", "whole number"),
        ("[default]\nconcurrency = true", "number"),
        ("[default]\nweight = 'x'", "default.weight: must be a number"),
        ("[default]\nweight = 0", "must be from 0.001 to 1000"),
        ("[default]\nweight = nan", "must be from 0.001"),
        ("[accounts.12]\nweight = 1", "twelve digits"),
        ("[accounts]\n111122223333 = 4", "must be a table"),
        ("accounts = 3", "table of tables"),
        ("default = 3", "must be a table"),
        ("[default", "not TOML"),
    ],
)
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(QuotaError, match=said):
        read_quotas(text)
