"""The former place of `Build`: `build.py` files of earlier releases import it from here."""

from worker.models.build import Build

__all__ = ["Build"]
