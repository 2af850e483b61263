"""What an operator may change about Pix. The original system's names keep working, with their defaults."""

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lastro.core.settings import Environment


def _or(name: str, original: str) -> AliasChoices:
    return AliasChoices(f"LASTRO_PIX_{name}", original)


class PixSettings(Environment):
    """Pix's own settings."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_PIX_")

    mode: Literal["stream", "plain", "list"] = Field(
        "stream",
        description="stream: settle and answer; plain: the original messages counted, nobody answered; "
        "list: the same off a list, first in first out",
    )
    stream: str = Field(
        "pix_payments",
        validation_alias=_or("STREAM", "REDIS_STREAM"),
        min_length=1,
        description="stream the payments come in; its name is the hash tag of all of Pix's keys",
    )
    group: str = Field(
        "pix_consumers", validation_alias=_or("GROUP", "GROUP_NAME"), description="consumer group of the workers"
    )
    response_prefix: str = Field(
        "backend_bacen_response_",
        validation_alias=_or("RESPONSE_PREFIX", "BACKEND_RESPONSE_PREFIX"),
        description="an answer goes to the stream of this name and the backend's id",
    )
    idle_threshold_ms: int = Field(
        5_000,
        gt=0,
        validation_alias=_or("IDLE_THRESHOLD_MS", "IDLE_THRESHOLD_MS"),
        description="what a silent worker held for so long, another takes over",
    )
    list_name: str = Field(
        "source_list",
        validation_alias=_or("LIST", "REDIS_LIST"),
        description="list mode: first part of the list's name",
    )
    list_index: int = Field(
        0, ge=0, validation_alias=_or("LIST_INDEX", "LIST_INDEX"), description="list mode: which of the lists"
    )
    use_hashtag: bool = Field(
        default=False, validation_alias=_or("USE_HASHTAG", "USE_HASHTAG"), description="list mode: the name in braces"
    )
    backend_id: str = Field(
        "1", validation_alias=_or("BACKEND_ID", "BACKEND_ID"), description="simulators: the backend they send as"
    )
    randomize_backend_id: bool = Field(
        default=False,
        validation_alias=_or("RANDOMIZE_BACKEND_ID", "RANDOMIZE_BACKEND_ID"),
        description="simulators: send as backends 1 to 4 by chance",
    )
    num_requests: int = Field(
        1_000, gt=0, validation_alias=_or("NUM_REQUESTS", "NUM_REQUESTS"), description="simulators: payments to send"
    )
    batch_size: int = Field(
        250, gt=0, validation_alias=_or("BATCH_SIZE", "BATCH_SIZE"), description="simulators: payments in one write"
    )
    num_threads: int = Field(
        5, gt=0, validation_alias=_or("NUM_THREADS", "NUM_THREADS"), description="simulators: senders at work"
    )
    shards: int = Field(
        1, ge=1, le=1024, description="engines, each in a slot of a cluster; a participant is at home in one, for good"
    )
    sweep_seconds: float = Field(
        1.0, gt=0, description="with shards: how often what participants were paid elsewhere is brought home"
    )
    read_count: int = Field(
        250, gt=0, le=500, description="entries a worker takes at once; Lua cannot unpack much more than 500"
    )
    deadline_ms: int = Field(40_000, gt=0, description="a receiver silent for longer: AB03")
    scheduled_deadline_ms: int = Field(2_700_000, gt=0, description="the same for scheduled payments (PAGAGD)")
    window_hours: int = Field(24, gt=0, description="how long a repeat is recognised, after the id's own tolerance")
    retention_seconds: float = Field(
        86_400, gt=0, description="how long answers stay readable, and records whole when there is an archive"
    )
    unread_seconds: float = Field(
        604_800, gt=0, description="how long an answer stays that a group of readers has not acknowledged"
    )
    archive_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL, postgresql+psycopg://user@host/name or sqlite:///file: "
        "final records older than the retention go there, and leave a mark; without it they stay whole",
    )
    archive_timeout_seconds: float = Field(5.0, gt=0, description="to connect to the archive, and for a lock of it")
    deliveries_max: int = Field(5, gt=1, description="an entry taken over more often goes to the dead letters")
    dead_max: int = Field(100_000, gt=0, description="dead letters kept; the oldest beyond it go")
    body_bytes_max: int = Field(8_192, gt=0, description="a longer message goes to the dead letters, cut off")
    lag_max: int = Field(1_000_000, gt=0, description="with so many payments waiting, further ones are answered 503")
    tokens: int = Field(
        3_750, gt=0, description="a participant's full token bucket: one a payment, a fifth of one an answer"
    )
    tokens_per_second: int = Field(750, gt=0, description="tokens that come back each second")
    readers_max: int = Field(6, gt=0, description="readers pulling from one outbox; a further one is answered 429")
    pull_max: int = Field(10, gt=0, le=500, description="messages in one pull")

    @property
    def retention_ms(self) -> int:
        """The retention as the store counts."""
        return int(self.retention_seconds * 1000)

    @property
    def source(self) -> str:
        """The name of the stream, or in list mode of the list, that payments come in."""
        if self.mode != "list":
            return self.stream
        name = f"{self.list_name}_{self.list_index}"
        return f"{{{name}}}" if self.use_hashtag else name
