"""Publishing and removing model versions. No HTTP."""
