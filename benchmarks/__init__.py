"""What an event costs, measured: our server beside its peers, by one command (`make bench`).

An event is one OneBot message: it comes in, one bot is called, one answer goes out. The figure is
the CPU time that the server's process spends on it, which depends less than its time on the clock
on what else a machine does.

Who reads this to see whether the figures can be trusted begins with `application` and `peers` (the
same work for every server), then `clients` (what is sent, and how each answer is checked) and
`measure` (how the servers take turns). What is promised, and how it is judged, is in `targets`.

A server more is a function in `peers` with a line in `servers`, and a file in `requirements` if it
needs an environment of its own. A job more is a line in `command` and its steps in `plan`.
"""
