"""Fixtures of trainings."""

from train.conftest import assert_same, config, processes, stopped_once, trained  # noqa: F401
