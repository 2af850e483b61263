"""Settings come from the environment, are read once in the process's first lines, and travel as arguments.

Every field has a description, shown by ``lastro settings``. A domain's settings have a prefix of their own and do not
inherit from these. A field with an original name keeps it as an alias beside the prefixed one. A secret may also stand
in a file, whose path the variable with ``_FILE`` behind its name has.
"""

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lastro.core.errors import Misconfigured

PREFIX = "LASTRO_"


class Environment(BaseSettings):
    """Base of every settings class: frozen, and wrong values are told as sentences that name the variable."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    @classmethod
    def read(cls) -> Self:
        """From the environment. Raises Misconfigured naming the first variable that is wrong."""
        given: dict[str, Any] = _from_files(cls)
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            where = str(first["loc"][0]) if first["loc"] else cls.__name__
            raise Misconfigured(setting=_variable_of(cls, where), reason=first["msg"]) from None


class Settings(Environment):
    """What every process of Lastro needs to know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("LASTRO_REDIS_URL", "REDIS_URL"),
        description="redis://, rediss://, unix://, redis+sentinel://host:port,…/service/db or redis+cluster://; "
        "without it the embedded server is used",
    )
    data_dir: Path = Field(
        Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lastro",
        description="where the embedded server keeps its socket, log and append-only file",
    )
    durability: Literal["everysec", "always"] = Field(
        "everysec",
        description="appendfsync of the embedded server: always survives a power cut, everysec loses up to 2 s",
    )
    server: Path | None = Field(None, description="binary of the embedded server; found by itself without this")
    redis_timeout_seconds: float = Field(
        5.0, gt=0, description="a command not answered by then is of unknown outcome, and its connection is dropped"
    )
    redis_connections_max: int = Field(
        64, gt=0, description="connections of one client of one process; more callers wait"
    )
    redis_ca: Path | None = Field(None, description="rediss://: the authority that signed the server's certificate")
    redis_cert: Path | None = Field(None, description="rediss://: our own certificate, if the server wants one")
    redis_key: Path | None = Field(None, description="rediss://: its private key")
    redis_replicas: int = Field(
        0, ge=0, description="an act is answered when so many replicas have it; fewer in time is of unknown outcome"
    )
    redis_replicas_timeout_ms: int = Field(1_000, gt=0, description="how long to wait for the replicas")
    http_host: str = Field("127.0.0.1", description="address the services listen on")
    http_port: int = Field(8000, ge=0, le=65_535, description="port of the all-in-one service; 0 takes a free one")
    http_processes: int = Field(1, ge=1, le=64, description="processes that answer HTTP, on one inherited socket")
    http_socket: Path | None = Field(None, description="a unix socket to listen on instead, behind a balancer")
    api_keys: Literal["auto", "on", "off"] = Field(
        "auto",
        description="whether a request needs a key (`lastro keys`); auto: not on this machine, and on a network "
        "nothing starts before it is said",
    )
    api_key: SecretStr | None = Field(None, description="the key that our own HTTP clients send")
    tls_certificate: Path | None = Field(
        None, description="certificate chain of the services, PEM; a new one in this file is used without a restart"
    )
    tls_key: Path | None = Field(None, description="its private key, PEM")
    tls: Literal["auto", "off"] = Field(
        "auto", description="off says that a network address may be served without TLS; with a certificate there is TLS"
    )
    body_bytes_max: int = Field(1_048_576, gt=0, description="a longer request body is answered 413")
    requests_max: int = Field(
        1_000, gt=0, description="requests in flight in one process; further ones are answered 503"
    )
    relays: str = Field(
        "",
        description="logs to pass on to brokers, by `lastro relay` or `lastro up`: stream=url, spaces between; "
        "kafka://host:port/topic?key=field, sqs://region/name?endpoint=url&key=field",
    )
    log_format: Literal["console", "json"] = Field("console", description="for people or for machines")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    grace_seconds: float = Field(10.0, ge=0, description="how long a stopping worker may finish what it has in hand")


def secret_files(settings: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Field name → the variables that name a file with its secret: those of the field, with ``_FILE`` behind."""
    secrets = [
        name
        for name, field in settings.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    ]
    return {name: tuple(f"{variable}_FILE" for variable in variables(settings)[name]) for name in secrets}


def _from_files(settings: type[BaseModel]) -> dict[str, SecretStr]:
    """What the ``_FILE`` variables of the environment point at, without the newline that an editor adds."""
    found = {}
    for name, files in secret_files(settings).items():
        for variable in files:
            path = os.environ.get(variable)
            if path is None:
                continue
            if given := next((one for one in variables(settings)[name] if one in os.environ), None):
                raise Misconfigured(setting=variable, reason=f"{given} is set, too: say it once")
            try:
                found[name] = SecretStr(Path(path).read_text(encoding="utf-8").rstrip("\r\n"))
            except OSError as error:
                raise Misconfigured(setting=variable, reason=f"{path}: {error.strerror}") from None
    return found


def variables(settings: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Field name → the environment variables that set it, the prefixed one first."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    found: dict[str, tuple[str, ...]] = {}
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            found[name] = tuple(choice for choice in alias.choices if isinstance(choice, str))
        else:
            found[name] = ((prefix + name).upper(),)
    return found


def refuse_unknown(classes: Iterable[type[BaseModel]], environment: Sequence[str] | None = None) -> None:
    """Raise Misconfigured for the first ``LASTRO_…`` variable that no settings class knows, with the nearest name."""
    known = {
        variable.upper()
        for cls in classes
        for names in (*variables(cls).values(), *secret_files(cls).values())
        for variable in names
    }
    for name in sorted(os.environ if environment is None else environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            raise Misconfigured(setting=name, reason=f"no such setting{f', did you mean {near[0]}' if near else ''}")


def _variable_of(settings: type[BaseModel], where: str) -> str:
    for name, names in variables(settings).items():
        if where.upper() in {name.upper(), *(n.upper() for n in names)}:
            return next((n for n in names if n in os.environ), names[0])
    return where
