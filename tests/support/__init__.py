"""What the tests share: connections in memory, peers that speak bytes, bots, and a count of what is left."""
