"""What an operator may change about coupons."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lastro.core.settings import Environment, Settings


class CouponsSettings(Environment):
    """Coupons's own settings; they do not inherit core's, whose names would then change their prefix."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_COUPONS_")

    database_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL: postgresql+psycopg://user@host/name or sqlite:///file; "
        "without it a SQLite file in LASTRO_DATA_DIR",
    )
    database_timeout_seconds: float = Field(5.0, gt=0, description="to connect, and to wait for a lock")
    secret: SecretStr = Field(
        SecretStr("lastro-development"),
        description="signs coupon codes and waiting room tickets; set your own, the same in every process",
    )
    remember_seconds: int = Field(86_400, gt=0, description="how long an operator's act is remembered for a repeat")
    retention_seconds: int = Field(604_800, gt=0, description="how long Redis keeps a settled event")
    events_max: int = Field(90, gt=0, le=90, description="events that are not settled; a worker reads one stream each")
    room_max: int = Field(1_000_000, gt=0, description="users in the waiting room of one event; then 503")
    ticket_seconds: int = Field(120, gt=0, description="how long a ticket of the waiting room lets its user try")
    replica_timeout_ms: int = Field(500, gt=0, description="for WAIT and WAITAOF; later is 503, outcome unknown")
    user_per_second: float = Field(10.0, ge=0, description="attempts of one user; 0 is no limit")
    user_burst: int = Field(20, gt=0, description="attempts of one user at once")
    address_per_second: float = Field(
        0.0, ge=0, description="attempts of one address; 0 is no limit: a carrier puts thousands behind one"
    )
    address_burst: int = Field(200, gt=0, description="attempts of one address at once")
    limit_across: bool = Field(
        False, description="also count a user's attempts over all processes, in Redis, while stock remains"
    )
    trusted_proxies: str = Field(
        "", description="addresses and networks, comma between, whose X-Forwarded-For names the client"
    )
    waiting_max: int = Field(10_000, gt=0, description="attempts one process lets wait for Redis; then 503")
    charge_seconds: int = Field(
        3_600,
        gt=0,
        description="an order not paid by then gives its coupon back; one not told by half of it is not charged",
    )
    charges_stream: str = Field("payments:charges", description="where what an order still costs is told to payments")
    finals_stream: str = Field(
        "payments_final",
        description="where payments tells what has ended; on a cluster {payments}:payments_final",
    )
    relay_url: str = Field(
        "",
        description="a broker that is told every issuance and change, too: kafka://host:port/topic, "
        "sqs://region/name.fifo; in order of each user",
    )
    lease_seconds: float = Field(5.0, gt=0, description="after so long a silent worker's entries go to another")
    persist_batch: int = Field(1_000, gt=0, le=5_000, description="issuances in one database transaction")

    @property
    def database(self) -> str:
        """The URL of the database, the default one included."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{Settings.read().data_dir.absolute()}/coupons.sqlite"

    @property
    def signing(self) -> bytes:
        """The secret as bytes."""
        return self.secret.get_secret_value().encode()
