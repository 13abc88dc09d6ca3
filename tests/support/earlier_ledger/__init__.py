"""The ledger of the version before owners had shares."""
