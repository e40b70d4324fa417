# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the fault rung."""
import pytest

from fault import Fault


@pytest.fixture(scope="session", name="the_fault")
def make_fault(the_host):
    return Fault(the_host)


@pytest.fixture
def fault(the_fault):
    """The harness, and a user who has never logged in."""
    the_fault.forget()
    yield the_fault
    the_fault.forget()
