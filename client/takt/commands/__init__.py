"""The commands of the `takt` program that speak to a service; `takt.cli` joins them."""
