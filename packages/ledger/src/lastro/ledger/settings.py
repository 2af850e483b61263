"""What an operator may change about the ledger."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lastro.core.settings import Environment

U32_MAX = (1 << 32) - 1  # what the ledger's state notes it in


class LedgerSettings(Environment):
    """Ledger's own settings; they do not inherit core's, whose names would then change their prefix."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_LEDGER_")

    name: str = Field("main", pattern=r"^[\w.-]+$", description="the ledger of this process; each has its own keyspace")
    batch_max: int = Field(
        1000,
        gt=0,
        le=8189,
        description="events in one script call: more wait less, but everybody else waits longer: 1,000 take some 10 ms",
    )
    shards: int = Field(
        1, ge=1, le=1024, description="parts of the ledger, each in a slot of its own; decided once, for good"
    )
    recover_after_seconds: float = Field(
        5.0, gt=0, description="a transfer between shards left half way for so long is finished by the worker"
    )
    expire_every_seconds: float = Field(0.1, gt=0, description="pause of the worker that releases expired transfers")
    changes_keep: int = Field(
        20_000,
        ge=100,
        le=U32_MAX,
        description="entries of the change stream that the worker leaves when nobody lags behind",
    )
    changes_max: int = Field(
        1_000_000,
        ge=100,
        le=U32_MAX,
        description="entries kept at most, however far a consumer group or the worker lags behind",
    )
    changes_readers_max: int = Field(
        100, ge=1, description="who may follow the changes through one process, each with a connection; others hear 503"
    )
    retain_every_seconds: float = Field(1.0, gt=0, description="pause of the worker that trims the change stream")
    pix_movements: str = Field(
        "{pix_payments}:movements", description="stream of Pix's movements, posted by the worker; empty: none is"
    )
    payments_final: str = Field(
        "payments_final", description="stream of payments that came to their end, likewise; on a cluster {payments}:…"
    )
    archive_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL, postgresql+psycopg://user@host/name or sqlite:///file: old and final transfers go "
        "there, 1,023 at a time; ids and balances stay. Every process of the ledger needs the same",
    )
    archive_after_seconds: float = Field(2_592_000, ge=0, description="how old transfers are that go to the archive")
    archive_timeout_seconds: float = Field(5.0, gt=0, description="to connect to the archive, and for a lock of it")
    post_group: str = Field("ledger", min_length=1, description="consumer group that reads what is posted")
