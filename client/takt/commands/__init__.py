"""The client commands of the `takt` program."""
