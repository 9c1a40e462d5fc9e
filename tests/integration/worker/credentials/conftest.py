"""A store of sealed records and its users."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from tests.support.manual_clock import ManualClock
from tests.support.sealed_records import NEW, OLD, ring
from worker.credentials.admin import CredentialAdmin
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords


@pytest.fixture
def records(redis: ArqRedis) -> SealedRecords:
    """An empty store."""
    return SealedRecords(redis)


@pytest.fixture
def admin(records: SealedRecords) -> CredentialAdmin:
    """An operator with the old key only."""
    return CredentialAdmin(records, ring(OLD), ManualClock())


@pytest.fixture
def after(records: SealedRecords) -> CredentialAdmin:
    """An operator with the new key before the old."""
    return CredentialAdmin(records, ring(NEW, OLD))


@pytest.fixture
def store(records: SealedRecords) -> RedisCredentials:
    """A worker's store, with both keys."""
    return RedisCredentials(records, ring(NEW, OLD))
