"""What an event costs, measured: our server beside its peers, by one command (`make bench`).

An event is one OneBot message: it comes in, one bot is called, one answer goes out. The figure is
the CPU time that the server's process spends on it, which depends less than its time on the clock
on what else a machine does.

Who reads this to see whether the figures can be trusted begins with `application` (the same work
for every server), then `load` (what is sent, and how each answer is checked) and `measure` (how the
processes are run). A server more is a function in `servers`, a job more is a class in `load`.
"""
