"""Pure protocol: bytes in, verdicts and bytes out; no sockets, no clock, no tasks."""
