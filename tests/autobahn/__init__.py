"""Autobahn's testsuite against both of our roles: `make autobahn`, `make autobahn-full`."""
