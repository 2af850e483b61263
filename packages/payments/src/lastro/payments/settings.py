"""What an operator may change about payments. The original document's names are aliases, with its defaults."""

from decimal import Decimal

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from lastro.core.settings import Environment

PLAIN_HTTP = r"^http://[^/?#@\s]+/?$"


def _original(name: str) -> AliasChoices:
    return AliasChoices(f"LASTRO_PAYMENTS_{name}", name)


class PaymentsSettings(Environment):
    """Payments' own settings."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_PAYMENTS_")

    processor_default_url: str = Field(
        "http://127.0.0.1:8001",
        pattern=PLAIN_HTTP,
        validation_alias=_original("PROCESSOR_DEFAULT_URL"),
        description="the processor with the lower fee; http://host:port",
    )
    processor_fallback_url: str = Field(
        "http://127.0.0.1:8002",
        pattern=PLAIN_HTTP,
        validation_alias=_original("PROCESSOR_FALLBACK_URL"),
        description="the processor to turn to when the default fails or is slow; likewise",
    )
    num_workers: int = Field(
        3, gt=0, validation_alias=_original("NUM_WORKERS"), description="senders of one process and processor"
    )
    max_concurrent_requests: int = Field(
        10,
        gt=0,
        validation_alias=_original("MAX_CONCURRENT_REQUESTS"),
        description="payments in flight of one sender; times num_workers at most 350 of a processor's 800 places",
    )
    max_retries: int = Field(
        3,
        ge=0,
        validation_alias=_original("MAX_RETRIES"),
        description="immediate tries at a processor that is full (429); then it returns to the queue",
    )
    redis_timeout: float = Field(
        0.2,
        gt=0,
        validation_alias=_original("REDIS_TIMEOUT"),
        description="seconds a summary waits for the store before it asks again, 1.2 s in all; a write waits longer",
    )
    http_connect_seconds: float = Field(0.5, gt=0, description="time to reach a processor; a refusal, nothing was sent")
    http_answer_seconds: float = Field(
        30.0,
        ge=10,
        description="time for an answer. The original's 2.0 to 3.0 s are below the processors' own delays (5 s): as "
        "limits they would only make outcomes unknown. Routing reacts to slowness at once; the request goes on",
    )
    patience_ms: int = Field(
        11_000,
        ge=0,
        description="how long at most a payment is held for a failing default; 1.1 s for each per cent of fee it saves",
    )
    fee_default: Decimal = Field(Decimal("0.05"), ge=0, description="share the default keeps (final: 0.07)")
    fee_fallback: Decimal = Field(Decimal("0.15"), ge=0, description="share the fallback keeps (final: 0.10)")
    charges_stream: str = Field(
        "", description="stream of what other domains ask to have paid; payments:charges unless set, in payments' slot"
    )
    final_max: int = Field(
        1_000_000, gt=0, description="entries kept for other domains to follow; a follower further behind asks anew"
    )
    poll_seconds: float = Field(5.1, gt=5, description="between two health calls to one processor, over all processes")
    keyspace: str = Field("", description="prefix of every key; on a cluster it is {payments}: unless set")
