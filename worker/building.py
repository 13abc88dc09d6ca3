"""The former place of `Build`. It stays because `build.py` files of users' models import it from here, and
the changelog promises that they keep working."""

from worker.models.build import Build

__all__ = ["Build"]
