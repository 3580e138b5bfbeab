"""EchoPilot Jobs: scheduled jobs for one machine, every slot accounted for."""

__version__ = "0.1.0"
