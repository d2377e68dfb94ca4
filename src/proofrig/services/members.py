"""The services that come with proofrig, told apart by `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proofrig.services.kv import KvService, KvSettings
from proofrig.services.lock import LockService, LockSettings
from proofrig.services.queue import QueueService, QueueSettings
from proofrig.services.quota import QuotaService, QuotaSettings
from proofrig.services.redis import RedisSettings
from proofrig.services.semantic_cache import CacheSettings, SemanticCache
from proofrig.services.service import Clock, Service

OneOf = KvSettings | LockSettings | CacheSettings | QueueSettings | QuotaSettings
AnyServiceSettings = Annotated[OneOf | RedisSettings, Field(discriminator="type")]


def make_service(settings: OneOf, clock: Clock, seed: int) -> Service:
    """The service that these settings describe, with its seed in it. `seed` is the run's. Raises
    UsageError when an embedding cannot be loaded."""
    match settings:
        case KvSettings():
            return KvService(settings, clock)
        case LockSettings():
            return LockService(settings, clock)
        case CacheSettings():
            return SemanticCache(settings, clock)
        case QueueSettings():
            return QueueService(settings, clock, seed)
        case QuotaSettings():
            return QuotaService(settings, clock)
