"""What the user has set: ``codex-autorunner.yml`` in the hub's folder, and variables that begin with ``CAR_``."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from protocol.errors import Refused

FILE = "codex-autorunner.yml"


class Nats(BaseModel):
    """Which server is used: the embedded one, where no ``url`` is set."""

    model_config = ConfigDict(extra="forbid")
    url: str = ""


class Agent(BaseModel):
    """How one agent is started. ``env`` names variables of ours that it needs; secrets stay in the environment."""

    model_config = ConfigDict(extra="forbid")
    driver: Literal["acp", "codex", ""] = ""
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    sandbox: Literal["", "read-only", "workspace-write", "danger-full-access"] = ""


class Settings(BaseSettings):
    """All settings. A variable wins over the file: ``CAR_NATS__URL`` (or ``CAR_NATS_URL``) over ``nats.url``."""

    model_config = SettingsConfigDict(env_prefix="CAR_", env_nested_delimiter="__", extra="forbid")
    nats: Nats = Nats()
    nats_url: str = ""
    agents: dict[str, Agent] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables win over the file, and take nothing from anywhere else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def url(self) -> str:
        """Return the address of an existing server, or nothing."""
        return self.nats_url or self.nats.url


def read_settings(root: Path) -> Settings:
    """Read the settings of a hub; raise ``Refused`` with what is wrong in the file and where."""
    path = root / FILE

    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()) or {} if path.exists() else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(f"{path}: {where}: {first['msg']}; mend the file and try again") from error
    except (yaml.YAMLError, OSError) as error:
        raise Refused(f"{path} cannot be read: {' '.join(str(error).split())}") from error
