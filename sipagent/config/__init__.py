"""The settings: YAML in, frozen structs out; every error names its path in the file, its line and what was expected."""

from sipagent.config.document import Problem
from sipagent.config.engine import EngineConfig
from sipagent.config.load import ConfigFileError, load, make_config
from sipagent.config.settings import (
    AgentConfig,
    BargeInConfig,
    Config,
    ControlConfig,
    LineConfig,
    LogConfig,
    RecordingConfig,
    RtpConfig,
    SipConfig,
    TlsConfig,
    TurnConfig,
)
from sipagent.config.values import Endpoint, ListenAddress, PortRange, Secret, ToolReference

__all__ = [
    "AgentConfig",
    "BargeInConfig",
    "Config",
    "ConfigFileError",
    "ControlConfig",
    "Endpoint",
    "EngineConfig",
    "LineConfig",
    "ListenAddress",
    "LogConfig",
    "PortRange",
    "Problem",
    "RecordingConfig",
    "RtpConfig",
    "Secret",
    "SipConfig",
    "TlsConfig",
    "ToolReference",
    "TurnConfig",
    "load",
    "make_config",
]
