"""What an operator may change about pix."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lastro.core.settings import Environment


class PixSettings(Environment):
    """Pix's own settings; they do not inherit core's, whose names would then change their prefix."""

    model_config = SettingsConfigDict(env_prefix="LASTRO_PIX_")

    remember_seconds: int = Field(86_400, gt=0, description="how long an answered act is remembered for a repeat")
