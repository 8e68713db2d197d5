"""What touches the machine and lives in time: sockets, tasks, deadlines, connections."""
