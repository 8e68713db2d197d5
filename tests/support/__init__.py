"""What the tests share: connections in memory, peers that speak bytes, bots, event loops."""
